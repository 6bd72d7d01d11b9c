// SPDX-License-Identifier: BSD-2-Clause
// A program in CSB mode, as a hypervisor's back end or a guest's driver is one: its indexes are in blocks, a thread runs the
// sync kloop, kicks and interrupts are eventfds.
#pragma once

#include <fcntl.h>
#include <net/netmap_user.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace csb {

inline nmreq_header header_for(uint16_t type, const void* body = nullptr, const void* options = nullptr) {
  nmreq_header header{};
  header.nr_version = NETMAP_API;
  header.nr_reqtype = type;
  header.nr_body = reinterpret_cast<uintptr_t>(body);
  header.nr_options = reinterpret_cast<uintptr_t>(options);
  return header;
}
inline int request(int fd, uint16_t type, const void* body = nullptr, const void* options = nullptr) {
  nmreq_header header = header_for(type, body, options);
  return ioctl(fd, NIOCCTRL, &header);
}

inline nmreq_opt_csb csb_option(const void* atok, const void* ktoa, const void* next = nullptr) {
  nmreq_opt_csb option{};
  option.nro_opt.nro_reqtype = NETMAP_REQ_OPT_CSB;
  option.nro_opt.nro_next = reinterpret_cast<uintptr_t>(next);
  option.csb_atok = reinterpret_cast<uintptr_t>(atok);
  option.csb_ktoa = reinterpret_cast<uintptr_t>(ktoa);
  return option;
}

// NETMAP_REQ_OPT_SYNC_KLOOP_EVENTFDS with so many pairs.
struct EventfdsOption {
  std::vector<uint8_t> bytes;
  explicit EventfdsOption(size_t pairs, const void* next = nullptr)
      : bytes(sizeof(nmreq_opt_sync_kloop_eventfds) + pairs * sizeof(get().eventfds[0])) {
    get().nro_opt.nro_reqtype = NETMAP_REQ_OPT_SYNC_KLOOP_EVENTFDS;
    get().nro_opt.nro_size = bytes.size();
    get().nro_opt.nro_status = 77;
    get().nro_opt.nro_next = reinterpret_cast<uintptr_t>(next);
  }
  nmreq_opt_sync_kloop_eventfds& get() { return *reinterpret_cast<nmreq_opt_sync_kloop_eventfds*>(bytes.data()); }
};

inline nmreq_opt_sync_kloop_mode mode_option(uint32_t mode, const void* next = nullptr) {
  nmreq_opt_sync_kloop_mode option{};
  option.nro_opt.nro_reqtype = NETMAP_REQ_OPT_SYNC_KLOOP_MODE;
  option.nro_opt.nro_status = 77;
  option.nro_opt.nro_next = reinterpret_cast<uintptr_t>(next);
  option.mode = mode;
  return option;
}

// Blocks for one tx and one rx ring, in memory that children share.
struct Blocks {
  nm_csb_atok atok[2];
  nm_csb_ktoa ktoa[2];
};
inline Blocks* shared_blocks() {
  return static_cast<Blocks*>(mmap(nullptr, sizeof(Blocks), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
}

struct Port {
  int fd = -1;
  nmreq_register reg{};
  netmap_if* nifp = nullptr;
  Blocks* blocks = shared_blocks();
  int error = 0;

  explicit Port(const std::string& name, uint64_t flags = NR_EXCLUSIVE, bool in_csb_mode = true) {
    fd = open("/dev/netmap", O_RDWR | O_CLOEXEC);
    reg.nr_mode = NR_REG_ALL_NIC;
    reg.nr_flags = flags;
    nmreq_header header = header_for(NETMAP_REQ_REGISTER, &reg);
    snprintf(header.nr_name, sizeof header.nr_name, "%s", name.c_str());
    nmreq_opt_csb option = csb_option(blocks->atok, blocks->ktoa);
    if (in_csb_mode) header.nr_options = reinterpret_cast<uintptr_t>(&option);
    if (ioctl(fd, NIOCCTRL, &header) < 0) {
      error = errno;
      return;
    }
    auto* memory = static_cast<char*>(mmap(nullptr, reg.nr_memsize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    nifp = NETMAP_IF(memory, reg.nr_offset);
  }
  Port(const Port&) = delete;
  ~Port() {
    if (fd >= 0) close(fd);
    munmap(blocks, sizeof *blocks);
  }
  netmap_ring* tx() const { return NETMAP_TXRING(nifp, 0); }
  netmap_ring* rx() const { return NETMAP_RXRING(nifp, 0); }
  int stop() const { return request(fd, NETMAP_REQ_SYNC_KLOOP_STOP); }
};

// The application's half of the protocol for one ring.
class Ring {
 public:
  Ring(netmap_ring* ring, Blocks* blocks, int which, int kick, int irq)
      : ring_(ring), atok_(&blocks->atok[which]), ktoa_(&blocks->ktoa[which]), kick_(kick), irq_(irq), head_(atok_->head) {
    atok_->appl_need_kick = 0;
    nm_sync_kloop_appl_read(ktoa_, &hwtail_, &hwcur_);
  }
  uint64_t kicks = 0, interrupts = 0;

  uint32_t available() {
    nm_sync_kloop_appl_read(ktoa_, &hwtail_, &hwcur_);
    return (hwtail_ + ring_->num_slots - head_) % ring_->num_slots;
  }
  // f(slot, its bytes) for `n` slots, which go back to the service.
  template <class F>
  void take(uint32_t n, F&& f) {
    for (; n > 0; n--, head_ = nm_ring_next(ring_, head_))
      f(ring_->slot[head_], NETMAP_BUF(ring_, ring_->slot[head_].buf_idx));
    publish(head_);
  }
  void publish(uint32_t head) {
    nm_sync_kloop_appl_write(atok_, head, head);
    head_ = head;
    nm_stld_barrier();
    if (kick_ >= 0 && __atomic_load_n(&ktoa_->kern_need_kick, __ATOMIC_RELAXED)) kick();
  }
  void kick() {
    kicks++;
    eventfd_write(kick_, 1);
  }
  // Sleeps until something is available: false if nothing was for long.
  bool wait(int timeout_ms = 10000) {
    __atomic_store_n(&atok_->appl_need_kick, 1, __ATOMIC_RELAXED);
    nm_stld_barrier();
    bool good = true;
    while (good && available() == 0) {
      pollfd p{irq_, POLLIN, 0};
      good = poll(&p, 1, timeout_ms) == 1;
      eventfd_t count;
      if (good) eventfd_read(irq_, &count), interrupts++;
    }
    __atomic_store_n(&atok_->appl_need_kick, 0, __ATOMIC_RELAXED);
    return good;
  }
  uint32_t head() const { return head_; }
  netmap_ring* ring() const { return ring_; }

 private:
  netmap_ring* ring_;
  nm_csb_atok* atok_;
  nm_csb_ktoa* ktoa_;
  int kick_, irq_;
  uint32_t head_, hwtail_ = 0, hwcur_ = 0;
};

// The kloop of a port in a thread of its own, with eventfds for its two rings or polling.
class Loop {
 public:
  explicit Loop(Port& port, uint32_t mode = 0) : port_(port), mode_(mode_option(mode)), eventfds_(2, &mode_) {
    for (int i = 0; i < 2; i++) eventfds_.get().eventfds[i] = {eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC)};
    start(0, eventfds_.bytes.data());
  }
  enum Polling { kPolling };
  Loop(Port& port, Polling, uint32_t sleep_us) : port_(port), eventfds_(2) {
    for (int i = 0; i < 2; i++) eventfds_.get().eventfds[i] = {-1, eventfd(0, EFD_CLOEXEC)};
    start(sleep_us, eventfds_.bytes.data());
  }
  ~Loop() {
    if (thread_.joinable()) port_.stop();
    join();
    for (int i = 0; i < 2; i++) {
      if (kick_fd(i) >= 0) close(kick_fd(i));
      close(irq_fd(i));
    }
  }
  Loop(const Loop&) = delete;

  // Waits for the end: what the request returned, as an errno value.
  int join() {
    if (thread_.joinable()) thread_.join();
    return result_;
  }
  int kick_fd(int ring) { return eventfds_.get().eventfds[ring].ioeventfd; }
  int irq_fd(int ring) { return eventfds_.get().eventfds[ring].irqfd; }
  Ring tx() { return Ring(port_.tx(), port_.blocks, 0, kick_fd(0), irq_fd(0)); }
  Ring rx() { return Ring(port_.rx(), port_.blocks, 1, kick_fd(1), irq_fd(1)); }
  pid_t thread_id() const { return tid_; }

 private:
  void start(uint32_t sleep_us, const void* options) {
    thread_ = std::thread([this, sleep_us, options] {
      tid_ = gettid();
      nmreq_sync_kloop_start body{};
      body.sleep_us = sleep_us;
      result_ = request(port_.fd, NETMAP_REQ_SYNC_KLOOP_START, &body, options) < 0 ? errno : 0;
    });
  }

  Port& port_;
  nmreq_opt_sync_kloop_mode mode_{};
  EventfdsOption eventfds_;
  std::thread thread_;
  std::atomic<pid_t> tid_{0};
  std::atomic<int> result_{-1};
};

}  // namespace csb
