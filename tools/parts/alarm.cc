// SPDX-License-Identifier: BSD-2-Clause
#include "alarm.hh"

#include <pthread.h>
#include <sched.h>
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

uint64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return uint64_t(t.tv_sec) * 1'000'000'000 + uint64_t(t.tv_nsec);
}

int run_on(const uint16_t* processors, int count) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int i = 0; i < count; i++) CPU_SET(processors[i], &set);
  return pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

}  // namespace unetmap::parts
