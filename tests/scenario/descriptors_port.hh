// SPDX-License-Identifier: BSD-2-Clause
// A VALE port by the bare requests, as programs that use no library open one, for the tests of descriptors.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <net/netmap_user.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "process_state.hh"

namespace descriptors {

inline uint64_t now_ms() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return uint64_t(t.tv_sec) * 1000 + uint64_t(t.tv_nsec) / 1000000;
}

// A switch of its own for each test.
inline std::string switch_name() {
  static std::atomic<int> count{0};
  return "vd" + std::to_string(getpid() % 100000) + "x" + std::to_string(count++);
}

inline int open_device(int flags = O_RDWR | O_CLOEXEC) {
  int fd = open("/dev/netmap", flags);
  EXPECT_GE(fd, 0) << strerror(errno);
  return fd;
}

struct Shape {
  uint32_t mode = NR_REG_ALL_NIC;
  uint16_t ring = 0;
  uint16_t rings = 0;  // of a port that this creates
  uint64_t flags = 0;
};

// 0 or -1 with errno; fills `out` with the answer.
inline int register_port(int fd, const std::string& name, const Shape& shape = {}, nmreq_register* out = nullptr) {
  nmreq_header header{};
  nmreq_register body{};
  header.nr_version = NETMAP_API;
  header.nr_reqtype = NETMAP_REQ_REGISTER;
  strncpy(header.nr_name, ("vale" + name).c_str(), sizeof header.nr_name - 1);
  header.nr_body = uintptr_t(&body);
  body.nr_mode = shape.mode;
  body.nr_ringid = shape.ring;
  body.nr_tx_rings = body.nr_rx_rings = shape.rings;
  body.nr_flags = shape.flags;
  int result = ioctl(fd, NIOCCTRL, &header);
  if (out) *out = body;
  return result;
}

// What a test puts into packets: a number that the receiver finds again.
constexpr uint32_t kPacketBytes = 60;

class Port {
 public:
  Port() = default;
  explicit Port(const std::string& name, const Shape& shape = {}) { bind(open_device(), name, shape); }
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;
  ~Port() {
    if (memory_ && owns_mapping_) munmap(memory_, bytes_);
    if (fd_ >= 0) close(fd_);
  }

  void bind(int fd, const std::string& name, const Shape& shape = {}) {
    fd_ = fd;
    nmreq_register answer;
    ASSERT_EQ(register_port(fd, name, shape, &answer), 0) << name << ": " << strerror(errno);
    bytes_ = answer.nr_memsize;
    offset_ = answer.nr_offset;
    mem_id_ = answer.nr_mem_id;
    map();
  }
  // For a descriptor that somebody else registered: `bytes` and `offset` as he was told.
  void use(int fd, uint64_t bytes, uint64_t offset) {
    fd_ = fd;
    bytes_ = bytes;
    offset_ = offset;
    map();
  }
  // As bind, but through the mapping of another descriptor of the region.
  void bind_sharing(int fd, const std::string& name, const Shape& shape, const Port& other) {
    fd_ = fd;
    nmreq_register answer;
    ASSERT_EQ(register_port(fd, name, shape, &answer), 0) << strerror(errno);
    ASSERT_EQ(answer.nr_mem_id, other.mem_id_);
    memory_ = other.memory_;
    owns_mapping_ = false;
    interface_ = NETMAP_IF(memory_, answer.nr_offset);
  }

  int fd() const { return fd_; }
  uint64_t bytes() const { return bytes_; }
  uint64_t offset() const { return offset_; }
  netmap_ring* tx(uint32_t ring = 0) const { return NETMAP_TXRING(interface_, ring); }
  netmap_ring* rx(uint32_t ring = 0) const { return NETMAP_RXRING(interface_, ring); }
  int release() { return std::exchange(fd_, -1); }

  // Puts packets with these numbers into the ring; somebody else syncs.
  uint32_t put(uint64_t first, uint32_t count, uint32_t ring = 0, const uint8_t* to = nullptr) {
    netmap_ring* r = tx(ring);
    uint32_t head = r->head, done = 0;
    for (; done < count && head != r->tail; done++) {
      netmap_slot& slot = r->slot[head];
      auto* packet = reinterpret_cast<uint8_t*>(NETMAP_BUF(r, slot.buf_idx));
      memset(packet, 0, kPacketBytes);
      if (to)
        memcpy(packet, to, 6);
      else
        memset(packet, 0xff, 6);
      const uint8_t from[6] = {2, 0, 0, 0, 0, uint8_t(1 + ring)};
      memcpy(packet + 6, from, 6);
      packet[12] = 0x88, packet[13] = 0xb5;
      uint64_t number = first + done;
      memcpy(packet + 16, &number, sizeof number);
      slot.len = kPacketBytes;
      slot.flags = 0;
      head = nm_ring_next(r, head);
    }
    r->head = r->cur = head;
    return done;
  }
  bool send(uint64_t first, uint32_t count = 1, uint32_t ring = 0) {
    return put(first, count, ring) == count && ioctl(fd_, NIOCTXSYNC, nullptr) == 0;
  }
  // The numbers of what the ring shows now, without any call.
  std::vector<uint64_t> take(uint32_t ring = 0) {
    netmap_ring* r = rx(ring);
    std::vector<uint64_t> numbers;
    for (; r->head != r->tail; r->head = r->cur = nm_ring_next(r, r->head)) {
      uint64_t number;
      memcpy(&number, NETMAP_BUF(r, r->slot[r->head].buf_idx) + 16, sizeof number);
      numbers.push_back(number);
    }
    return numbers;
  }
  // Waits until something is there.
  std::vector<uint64_t> receive(int timeout_ms = 5000) {
    pollfd p{fd_, POLLIN, 0};
    if (poll(&p, 1, timeout_ms) <= 0) return {};
    return take();
  }

 private:
  void map() {
    memory_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    if (memory_ == MAP_FAILED) {
      memory_ = nullptr;
      FAIL() << "mmap: " << strerror(errno);
    }
    interface_ = NETMAP_IF(memory_, offset_);
  }

  int fd_ = -1;
  void* memory_ = nullptr;
  bool owns_mapping_ = true;
  uint64_t bytes_ = 0, offset_ = 0;
  uint16_t mem_id_ = 0;
  netmap_if* interface_ = nullptr;
};

// Two ports of one switch.
struct Pair {
  std::string name = switch_name();
  Port a{name + ":a"}, b{name + ":b"};
};

using Numbers = std::vector<uint64_t>;

// Does something once the calling thread sleeps in the kernel.
class Later {
 public:
  explicit Later(std::function<void()> action)
      : thread_([tid = pid_t(syscall(SYS_gettid)), action = std::move(action)] {
          wait_until_asleep(tid);
          action();
        }) {}
  ~Later() { thread_.join(); }

  static void wait_until_asleep(pid_t tid) {
    // Asleep twice in a row: a short sleep on some lock is not the one that is meant.
    for (int asleep = 0; asleep < 3;) {
      const char state = process_state::state_of(tid);
      if (state == 0) return;
      asleep = state == 'S' ? asleep + 1 : 0;
      usleep(1000);
    }
  }

 private:
  std::thread thread_;
};

}  // namespace descriptors
