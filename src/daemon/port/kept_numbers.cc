// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/port/kept_numbers.hh"

#include <sys/resource.h>

namespace unetmap::daemon {

bool kept_for_answers(int fd) {
  constexpr rlim_t kForAnswers = 32;
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY) return false;
  return rlim_t(fd) + kForAnswers >= limit.rlim_cur;
}

}  // namespace unetmap::daemon
