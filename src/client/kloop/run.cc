// SPDX-License-Identifier: BSD-2-Clause
// One pass syncs each ring. When a pass moved nothing, the loop puts itself on the wait lists, makes one more pass, and
// sleeps only if that moved nothing either: whatever happens after the list was written rings the doorbell.
#include "client/kloop/run.hh"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "client/descriptor/csb.hh"
#include "client/link/numbers.hh"

namespace unetmap::client {
namespace {

// A packet may take this many slots: a receive ring with fewer left may lose packets that the rest of it has room for.
constexpr uint32_t kMaxPacketSlots = 64;
constexpr int64_t kForEver = -1, kResetWait_ns = 2'000'000, kBusyWait_ns = 10'000'000;

struct LoopRing {
  TxRing* tx = nullptr;
  RxRing* rx = nullptr;
  CsbEntry csb;
  bool direct = false;
  int irq = -1;
  uint32_t told = 0;  // hwtail as of the last notification, or decision that none was wanted
  uint32_t hwcur = 0;
  bool pending = false;  // tx: there are slots that could not go, or have not come back
  int failed = 0;        // errno value of the last sync
};

class Loop {
 public:
  Loop(Descriptor& d, Bound& bound, const KloopPlan& plan) : d_(d), bound_(bound), plan_(plan) {}
  int run();

 private:
  int prepare();
  bool pass();
  void sync_tx(LoopRing& ring);
  void sync_rx(LoopRing& ring);
  bool ask_for_kick(LoopRing& ring, uint32_t head);
  void notify(LoopRing& ring, uint32_t hwtail, bool unasked);
  void arm();
  void sleep(int64_t timeout_ns);
  int64_t patience_ns() const;
  bool stopping() const { return csb_word(bound_).load(std::memory_order_acquire) & kLoopStopping; }

  Descriptor& d_;
  Bound& bound_;
  const KloopPlan& plan_;
  std::vector<LoopRing> rings_;
  OwnFd epoll_;
  bool moved_ = false;  // in this pass
};

int Loop::prepare() {
  for (auto& tx : bound_.tx) rings_.push_back({.tx = tx.get(), .csb = tx->csb(), .direct = plan_.direct_tx});
  for (auto& rx : bound_.rx) rings_.push_back({.rx = rx.get(), .csb = rx->csb(), .direct = plan_.direct_rx});
  epoll_ = OwnFd(UniqueFd(int(syscall(SYS_epoll_create1, EPOLL_CLOEXEC))));
  if (!epoll_) return errno;
  auto watch = [&](int fd, uint32_t events, uint32_t what) {
    epoll_event event{events, {}};
    event.data.u32 = what;
    return syscall(SYS_epoll_ctl, epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
  };
  // Edge-triggered: nobody has to read the eventfds, which others may be reading.
  if (!watch(bound_.bell(), EPOLLIN | EPOLLET, 0)) return errno;
  if (!watch(d_.fd(), 0, 1)) return d_.fd() < 0 ? 0 : errno;
  for (size_t i = 0; i < rings_.size(); i++) {
    LoopRing& ring = rings_[i];
    ServiceIndexes at = ring.tx ? ring.tx->indexes() : ring.rx->indexes();
    ring.told = at.hwtail;
    ring.hwcur = at.hwcur;
    if (plan_.pairs.empty()) continue;
    ring.irq = plan_.pairs[i].irq.get();
    // One eventfd may serve several rings.
    if (!plan_.polling && !watch(plan_.pairs[i].kick.get(), EPOLLIN | EPOLLET, 2) && errno != EEXIST) return errno;
  }
  return 0;
}

// Store, full barrier, load: the application does the same the other way round, and one of us sees the other's.
bool Loop::ask_for_kick(LoopRing& ring, uint32_t head) {
  __atomic_store_n(&ring.csb.ktoa->kern_need_kick, 1, __ATOMIC_RELAXED);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (ring.failed || __atomic_load_n(&ring.csb.atok->head, __ATOMIC_ACQUIRE) == head) return false;
  if (!ring.direct) __atomic_store_n(&ring.csb.ktoa->kern_need_kick, 0, __ATOMIC_RELAXED);
  return true;
}

void Loop::notify(LoopRing& ring, uint32_t hwtail, bool unasked) {
  if (hwtail == ring.told) return;
  ring.told = hwtail;
  if (ring.irq < 0) return;
  std::atomic_thread_fence(std::memory_order_seq_cst);  // hwtail was published before
  if (!unasked && !__atomic_load_n(&ring.csb.atok->appl_need_kick, __ATOMIC_RELAXED)) return;
  uint64_t one = 1;
  syscall(SYS_write, ring.irq, &one, sizeof one);
}

void Loop::sync_tx(LoopRing& ring) {
  if (!ring.direct) __atomic_store_n(&ring.csb.ktoa->kern_need_kick, 0, __ATOMIC_RELAXED);
  bool was_pending = ring.pending;
  ring.failed = ring.tx->sync();
  ServiceIndexes at = ring.tx->indexes();
  uint32_t head = ring.tx->head();
  if (at.hwcur != ring.hwcur) moved_ = true;
  ring.hwcur = at.hwcur;
  ring.pending = !ring.failed && (head != at.hwcur || ring.tx->awaits_release());
  notify(ring, at.hwtail, ring.direct && was_pending);
  if (!plan_.polling && ask_for_kick(ring, head)) moved_ = true;
}

void Loop::sync_rx(LoopRing& ring) {
  if (!ring.direct) __atomic_store_n(&ring.csb.ktoa->kern_need_kick, 0, __ATOMIC_RELAXED);
  ring.failed = ring.rx->sync();
  ServiceIndexes at = ring.rx->indexes();
  if (at.hwtail != ring.told) moved_ = true;
  notify(ring, at.hwtail, ring.direct);
  if (plan_.polling) return;
  uint32_t slots = ring.rx->num_slots(), head = ring.rx->head(), with_application = (at.hwtail + slots - head) % slots;
  // What the application gives back has to reach the senders: in time where they drop, at all where they wait.
  const PortEntry* entry = bound_.entry();
  bool senders_wait =
      ring.rx->senders_wait() || (entry && (entry->flags.load(std::memory_order_relaxed) & kPortLossless));
  bool scarce = with_application > slots / 2 || with_application + kMaxPacketSlots >= slots;
  bool wanted = ring.direct || ring.failed || (with_application > 0 && (senders_wait || scarce));
  if (wanted && ask_for_kick(ring, head)) moved_ = true;
}

// True if something moved, or is about to.
bool Loop::pass() {
  moved_ = false;
  for (LoopRing& ring : rings_) ring.tx ? sync_tx(ring) : sync_rx(ring);
  return moved_;
}

void Loop::arm() {
  uint32_t file = bound_.info.file_id;
  for (LoopRing& ring : rings_) {
    if (ring.failed) continue;  // until the application kicks
    if (ring.rx) {
      add_waiter(ring.rx->readers(), file);
      ring.rx->wake_writers();
    } else if (ring.pending) {
      if (WaitList* list = ring.tx->writers()) add_waiter(*list, file);
    }
  }
  if (bound_.nic) {
    bool pending = std::any_of(rings_.begin(), rings_.end(), [](const LoopRing& ring) { return ring.pending; });
    bound_.nic->arm(true, pending);
  }
}

int64_t Loop::patience_ns() const {
  int64_t out = kForEver;
  for (const LoopRing& ring : rings_) {
    if (ring.rx && ring.rx->resetting()) return kResetWait_ns;
    if (ring.failed == EBUSY) out = kBusyWait_ns;  // another has the ring's lock, and will not tell when it goes
  }
  return out;
}

void Loop::sleep(int64_t timeout_ns) {
  epoll_event events[8];
  timespec timeout{timeout_ns / 1'000'000'000, timeout_ns % 1'000'000'000};
  const timespec* until = timeout_ns < 0 ? nullptr : &timeout;
  int saved = errno;
  long n = syscall(SYS_epoll_pwait2, epoll_.get(), events, 8, until, nullptr, 8);
  if (n < 0 && errno == ENOSYS) {
    pollfd ready{epoll_.get(), POLLIN, 0};
    syscall(SYS_ppoll, &ready, 1, until, nullptr, 8);
    n = syscall(SYS_epoll_pwait, epoll_.get(), events, 8, 0, nullptr, 8);
  }
  errno = saved;
  for (long i = 0; i < n; i++)
    if (events[i].data.u32 == 1 && (events[i].events & (EPOLLHUP | EPOLLERR))) d_.mark_dead();
}

int Loop::run() {
  if (int error = prepare()) return error;
  bool armed = false;
  while (!stopping() && d_.fd() >= 0) {
    if (!d_.daemon_alive()) return ENXIO;
    bool moved = pass();
    if (plan_.polling) {
      if (plan_.sleep_us == 0)
        sched_yield();
      else
        sleep(int64_t{plan_.sleep_us} * 1000);
    } else if (moved) {
      armed = false;
    } else if (!armed) {
      arm();
      armed = true;
    } else {
      sleep(patience_ns());
      armed = false;
    }
  }
  return 0;
}

}  // namespace

OwnFd::OwnFd(UniqueFd fd) : fd_(move_high(std::move(fd))) {}

OwnFd::~OwnFd() {
  if (fd_) note_internal(fd_.get(), false);
}

OwnFd OwnFd::of_eventfd(int fd) {
  OwnFd out;
  if (fd < 0) return out;
  int saved = errno;
  char link[64], target[64] = "";
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  long n = syscall(SYS_readlinkat, AT_FDCWD, link, target, sizeof target - 1);
  long copy = syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 900);
  if (copy < 0) copy = syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) {
    out.error_ = errno;
  } else if (n > 0 && !strstr(target, "[eventfd]")) {
    out.error_ = EINVAL;
    UniqueFd(int(copy)).reset();
  } else {
    out = OwnFd(UniqueFd(int(copy)));
  }
  errno = saved;
  return out;
}

int run_kloop(Descriptor& d, Bound& bound, const KloopPlan& plan) { return Loop(d, bound, plan).run(); }

}  // namespace unetmap::client
