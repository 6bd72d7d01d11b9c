// SPDX-License-Identifier: BSD-2-Clause
#include "parts/alarm.hh"

#include <sys/timerfd.h>
#include <time.h>

namespace unetmap::parts {

Alarm::Alarm() : timer_(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) {}

void Alarm::set(uint64_t monotonic_ns) {
  if (monotonic_ns == at_ns_) return;
  at_ns_ = monotonic_ns;
  itimerspec when{};
  when.it_value = {time_t(monotonic_ns / 1'000'000'000), long(monotonic_ns % 1'000'000'000)};
  timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &when, nullptr);
}

}  // namespace unetmap::parts
