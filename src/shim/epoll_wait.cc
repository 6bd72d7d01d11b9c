// SPDX-License-Identifier: BSD-2-Clause
// epoll_wait on a set with netmap members.
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "ring/probes.hh"
#include "shim/deadline.hh"
#include "shim/epoll_sets.hh"
#include "shim/epoll_table.hh"
#include "shim/known_pages.hh"
#include "shim/next.hh"

namespace unetmap::shim {
namespace {

// One thread's wait on one set.
class SetWait {
 public:
  SetWait(EpollSet& set, int epfd, epoll_event* events, int max) : set_(set), epfd_(epfd), events_(events), max_(max) {}
  // Hands on what it took: the bells wake one sleeper of a set only, and it may not have been for us.
  ~SetWait() {
    if (!took_bells_ || set_.sleepers.load(std::memory_order_relaxed) == 0) return;
    std::lock_guard hold(set_.mutex);
    set_.ring_own_bell();
  }
  SetWait(const SetWait&) = delete;
  SetWait& operator=(const SetWait&) = delete;

  // What is ready now, of members and others.
  int look();
  // Spins if the set is one descriptor for which that pays; what is ready then.
  int spin();
  // Sleeps once; what is ready then, possibly 0 before the time is over. -1 with errno.
  int sleep(int64_t left_ns, const sigset_t* sigmask);

 private:
  int members(int have);
  int kernel_now(int have);
  int without_tags(int from, int count);

  EpollSet& set_;
  const int epfd_;
  epoll_event* events_;
  const int max_;
  bool took_bells_ = false;
};

int SetWait::members(int have) {
  if (have >= max_) return 0;
  std::lock_guard hold(set_.mutex);
  return set_.collect(events_ + have, max_ - have);
}

int SetWait::without_tags(int from, int count) {
  uint64_t tag = epoll_tag();
  int kept = from;
  for (int i = from; i < from + count; i++)
    if (events_[i].data.u64 != tag) events_[kept++] = events_[i];
  kept -= from;
  if (kept != count) {
    std::lock_guard hold(set_.mutex);
    took_bells_ |= set_.take_bells();
  }
  return kept;
}

int SetWait::kernel_now(int have) {
  if (have >= max_ || set_.others.load(std::memory_order_relaxed) == 0) return 0;
  refresh_children(set_, 0);
  int n = int(syscall(SYS_epoll_pwait, epfd_, events_ + have, max_ - have, 0, nullptr, 0));
  return n <= 0 ? 0 : without_tags(have, n);
}

int SetWait::look() {
  // In turns, so that with few places neither keeps the other out.
  static std::atomic<uint32_t> turn{0};
  if (set_.others.load(std::memory_order_relaxed) && (turn.fetch_add(1, std::memory_order_relaxed) & 1)) {
    int n = kernel_now(0);
    return n + members(n);
  }
  int n = members(0);
  return n + kernel_now(n);
}

int SetWait::spin() {
  if (set_.others.load(std::memory_order_relaxed)) return 0;
  short wanted = 0;
  client::DescriptorRef only;
  {
    std::lock_guard hold(set_.mutex);
    only = set_.only_member(&wanted);
  }
  return only && client::spin(*only, wanted) ? members(0) : 0;
}

int SetWait::sleep(int64_t left_ns, const sigset_t* sigmask) {
  struct Sleeper {
    EpollSet& set;
    explicit Sleeper(EpollSet& set) : set(set) { set.sleepers.fetch_add(1, std::memory_order_seq_cst); }
    ~Sleeper() { set.sleepers.fetch_sub(1, std::memory_order_seq_cst); }
  } sleeper(set_);
  NestedSleep in_nested(set_.children.load(std::memory_order_relaxed) != 0);
  refresh_children(set_, 0);
  {
    std::lock_guard hold(set_.mutex);
    left_ns = set_.arm(left_ns);
    if (int n = set_.collect(events_, max_)) return n;
  }
  int n;
  const probe::Sleep shown(left_ns);
  if (left_ns < 0 || !next::epoll_pwait2.get()) {
    n = next::epoll_pwait(epfd_, events_, max_, ms_not_below(left_ns), sigmask);
  } else {
    timespec timeout = timespec_of(left_ns);
    n = next::epoll_pwait2(epfd_, events_, max_, &timeout, sigmask);
    if (n < 0 && errno == ENOSYS) n = next::epoll_pwait(epfd_, events_, max_, ms_not_below(left_ns), sigmask);
  }
  if (n <= 0) return n;
  n = without_tags(0, n);
  return n + members(n);
}

}  // namespace

int wait_on_set(int epfd, epoll_event* events, int max_events, int64_t timeout_ns, const sigset_t* sigmask) {
  SetRef set(epfd);
  if (!set || max_events <= 0 || !events)
    return next::epoll_pwait(epfd, events, max_events, ms_not_below(timeout_ns), sigmask);
  int saved_errno = errno;
  // A program may tell of more room than it has, where so many events never come: no further than these is looked.
  constexpr int kAtOnce = 256;
  const size_t room = size_t(std::min(max_events, kAtOnce)) * sizeof *events;
  max_events = int(writable_bytes(events, room) / sizeof *events);
  if (max_events == 0) {
    errno = EFAULT;
    return -1;
  }
  Deadline deadline(timeout_ns);
  SetWait wait(*set, epfd, events, max_events);
  for (;;) {
    int n = wait.look();
    if (n == 0 && !deadline.immediate()) n = wait.spin();
    int64_t left = n == 0 ? deadline.left() : 0;
    if (n == 0 && left == 0 && sigmask) {
      // Nothing to report: a signal that only `sigmask` lets through comes first.
      timespec none{};
      if (next::ppoll(nullptr, 0, &none, sigmask) < 0) return -1;
    }
    if (n == 0 && left != 0) n = wait.sleep(left, sigmask);
    if (n < 0) return -1;
    if (n > 0 || left == 0) {
      errno = saved_errno;
      return n;
    }
  }
}

int strip_tags(epoll_event* events, int count) noexcept {
  uint64_t tag = epoll_tag();
  int kept = 0;
  for (int i = 0; i < count; i++)
    if (events[i].data.u64 != tag) events[kept++] = events[i];
  return kept;
}

}  // namespace unetmap::shim
