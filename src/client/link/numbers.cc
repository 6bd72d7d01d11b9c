// SPDX-License-Identifier: BSD-2-Clause
#include "client/link/numbers.hh"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace unetmap::client {

std::atomic<uintptr_t> numbers[kMaxNumbers];

UniqueFd duplicate_high(int fd) {
  constexpr int kHigh = 900;
  long high = syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, kHigh);
  if (high < 0) high = syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 3);  // the program may not have that many
  if (high >= 0) note_internal(int(high), true);
  return UniqueFd(int(high));
}

UniqueFd move_high(UniqueFd fd) {
  if (!fd) return fd;
  if (UniqueFd high = duplicate_high(fd.get())) return high;
  note_internal(fd.get(), true);
  return fd;
}

}  // namespace unetmap::client
