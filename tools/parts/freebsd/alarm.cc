// SPDX-License-Identifier: BSD-2-Clause
// FreeBSD has timerfd from 14 on only; a kqueue with one timer is readable from its moment on just as well.
#include "parts/alarm.hh"

#include <sys/event.h>
#include <time.h>

#include <algorithm>

namespace unetmap::parts {

Alarm::Alarm() : timer_(kqueue()) {}

void Alarm::set(uint64_t monotonic_ns) {
  if (monotonic_ns == at_ns_) return;
  at_ns_ = monotonic_ns;
  struct kevent event;
  // Nobody takes the event out: the kqueue stays readable until the timer is set anew, which forgets what has passed.
  EV_SET(&event, 1, EVFILT_TIMER, EV_DELETE, 0, 0, nullptr);
  kevent(timer_.get(), &event, 1, nullptr, 0, nullptr);
  if (monotonic_ns == 0) return;
  const uint64_t now = now_ns();
  // A relative one, as NOTE_ABSTIME is of the wall clock.
  EV_SET(&event, 1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_NSECONDS, int64_t(std::max(monotonic_ns, now + 1) - now), nullptr);
  kevent(timer_.get(), &event, 1, nullptr, 0, nullptr);
}

}  // namespace unetmap::parts
