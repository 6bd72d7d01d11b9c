// SPDX-License-Identifier: BSD-2-Clause
#include "shim/bells.hh"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <new>

#include "client/link/at_thread_end.hh"
#include "ring/probes.hh"
#include "shim/deadline.hh"
#include "shim/next.hh"
#include "shim/own_process.hh"

namespace unetmap::shim {
namespace {

constexpr size_t kListening = 256;  // entries kept; a collision only costs two system calls a sleep
constexpr uint64_t kBell = ~uint64_t{0}, kTimer = kBell - 1;
constexpr int64_t kLongNs = 20'000'000;  // a time limit for the timer
constexpr int kEvents = 32;

// Counts forks: an epoll instance from before is the parent's too, and of no use to the child.
std::atomic<uint32_t> process{1};

[[gnu::constructor]] void count_forks() {
  pthread_atfork(nullptr, nullptr, [] { process.fetch_add(1, std::memory_order_relaxed); });
}

// 0: free. A thread that is ending has none any more, but may still poll in destructors of its own.
thread_local int thread_bells_in_use = 0;
alignas(Bells) constinit thread_local std::byte thread_bells_place[sizeof(Bells)] = {};
constinit thread_local Bells* thread_bells = nullptr;

const client::AtThreadEnd end_thread_bells([](void* bells) {
  thread_bells_in_use++;
  static_cast<Bells*>(bells)->~Bells();
});

Bells* own_bells() {
  if (thread_bells) return thread_bells;
  thread_bells = new (thread_bells_place) Bells;
  end_thread_bells.remember(thread_bells);
  return thread_bells;
}

int raw_ctl(int epfd, int op, int fd, epoll_event* event) { return int(syscall(SYS_epoll_ctl, epfd, op, fd, event)); }

}  // namespace

Bells::~Bells() {
  close_internal(timer_);
  close_internal(epfd_);
}

void Bells::drop_after_fork() {
  uint32_t now = process.load(std::memory_order_relaxed);
  if (process_ == now) return;
  close_internal(timer_);
  close_internal(epfd_);
  epfd_ = timer_ = -1;
  timer_end_ns_ = 0;
  process_ = now;
  listening_.assign(listening_.size(), {});
}

int Bells::instance() {
  drop_after_fork();
  if (epfd_ < 0) epfd_ = make_internal(int(syscall(SYS_epoll_create1, EPOLL_CLOEXEC)));
  return epfd_;
}

bool Bells::add(int fd, uint32_t events, uint64_t data) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = data;
  if (raw_ctl(epfd_, EPOLL_CTL_ADD, fd, &event) == 0) return true;
  // Listened to before and overwritten in our cache. The change has its present state reported again.
  return errno == EEXIST && raw_ctl(epfd_, EPOLL_CTL_MOD, fd, &event) == 0;
}

bool Bells::listen(int fd, client::Descriptor& d) {
  if (instance() < 0) return false;
  ended_fd_ = -1;
  int doorbell = client::doorbell(d);
  if (listening_.empty()) {
    try {
      listening_.resize(kListening);
    } catch (const std::bad_alloc&) {
      errno = ENOMEM;
      return false;
    }
  }
  Listening& slot = listening_[size_t(fd) % kListening];
  if (slot.fd == fd && slot.descriptor == &d && slot.doorbell == doorbell && !slot.alive.expired()) return true;
  slot = {};
  client::DescriptorRef ref = client::find(fd);
  if (ref.get() != &d) {
    errno = EBADF;
    return false;
  }
  if (doorbell >= 0 && !add(doorbell, EPOLLIN | EPOLLET, kBell)) return false;
  if (!add(fd, EPOLLET, uint64_t(fd))) return false;
  slot = {fd, doorbell, &d, ref};
  return true;
}

void Bells::look_at(const epoll_event* events, int count) {
  for (int i = 0; i < count; i++) {
    if (events[i].data.u64 == kBell) continue;
    if (events[i].data.u64 == kTimer) {
      timer_end_ns_ = 0;
      continue;
    }
    // Perhaps not the one that is being waited for: who waits for it next is to be told again.
    ended_fd_ = int(events[i].data.u64);
    listening_[size_t(ended_fd_) % kListening] = {};
  }
}

// Sees to it that the timer goes off no later than that. False if there is none to be had.
bool Bells::limit_by_timer(int64_t timeout_ns) {
  timespec coarse;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &coarse);
  // Behind the real time by a tick at most, so that what it calls early enough is.
  int64_t now = ns_of(coarse.tv_sec, coarse.tv_nsec);
  if (timer_end_ns_ > now && timer_end_ns_ - now <= timeout_ns) return true;
  KeepErrno keep;
  if (timer_ < 0) {
    timer_ = make_internal(int(syscall(SYS_timerfd_create, CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)));
    if (timer_ >= 0 && !add(timer_, EPOLLIN | EPOLLET, kTimer)) {
      close_internal(timer_);
      timer_ = -1;
    }
    if (timer_ < 0) return false;
  }
  now = monotonic_ns();
  if (timeout_ns > INT64_MAX - now) return false;
  timer_end_ns_ = now + timeout_ns;
  itimerspec at{{}, timespec_of(timer_end_ns_)};
  if (syscall(SYS_timerfd_settime, timer_, TFD_TIMER_ABSTIME, &at, nullptr) == 0) return true;
  timer_end_ns_ = 0;
  return false;
}

int Bells::sleep(int64_t timeout_ns, const sigset_t* sigmask) {
  epoll_event events[kEvents];
  int n;
  const probe::Sleep shown(timeout_ns);
  if (timeout_ns >= kLongNs && limit_by_timer(timeout_ns)) timeout_ns = kForever;
  if (timeout_ns < 0 || !next::epoll_pwait2.get()) {
    n = next::epoll_pwait(epfd_, events, kEvents, ms_not_below(timeout_ns), sigmask);
  } else {
    timespec timeout = timespec_of(timeout_ns);
    n = next::epoll_pwait2(epfd_, events, kEvents, &timeout, sigmask);
    if (n < 0 && errno == ENOSYS) n = next::epoll_pwait(epfd_, events, kEvents, ms_not_below(timeout_ns), sigmask);
  }
  if (n <= 0) return n;
  KeepErrno keep;
  look_at(events, n);
  return 1;
}

void Bells::clear() {
  KeepErrno keep;
  epoll_event events[kEvents];
  int n = int(syscall(SYS_epoll_pwait, epfd_, events, kEvents, 0, nullptr, 0));
  if (n > 0) look_at(events, n);
}

ThreadBells::ThreadBells() : bells_(thread_bells_in_use++ > 0 ? &temporary_.emplace() : own_bells()) {}

ThreadBells::~ThreadBells() { thread_bells_in_use--; }

}  // namespace unetmap::shim
