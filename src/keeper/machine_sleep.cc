// SPDX-License-Identifier: BSD-2-Clause
#include "keeper/machine_sleep.hh"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

namespace unetmap::keeper {
namespace {

constexpr int64_t kShortest_ns = 100'000'000;  // beyond what lies between the two readings of clocks

int64_t ns_of(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

int64_t asleep_ns() { return ns_of(CLOCK_BOOTTIME) - ns_of(CLOCK_MONOTONIC); }

}  // namespace

Result<MachineSleep> MachineSleep::watch(int other) {
  MachineSleep out;
  out.asleep_ns_ = asleep_ns();
  out.timer_ = UniqueFd(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  const itimerspec each_second{{1, 0}, {1, 0}};
  if (!out.timer_ || timerfd_settime(out.timer_.get(), 0, &each_second, nullptr) < 0)
    return Error::from_errno(errno, "timer for looks at a device");
  out.both_ = UniqueFd(epoll_create1(EPOLL_CLOEXEC));
  for (int fd : {out.timer_.get(), other}) {
    epoll_event event{};
    event.events = EPOLLIN;
    if (!out.both_ || epoll_ctl(out.both_.get(), EPOLL_CTL_ADD, fd, &event) < 0)
      return Error::from_errno(errno, "events of a device");
  }
  return out;
}

bool MachineSleep::due() {
  uint64_t times = 0;
  return read(timer_.get(), &times, sizeof times) == sizeof times;
}

bool MachineSleep::slept() const { return asleep_ns() - asleep_ns_ > kShortest_ns; }

}  // namespace unetmap::keeper
