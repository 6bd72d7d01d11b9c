// SPDX-License-Identifier: BSD-2-Clause
#include "client/link/numbers.hh"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace unetmap::client {

std::atomic<uintptr_t> numbers[kMaxNumbers];

UniqueFd move_high(UniqueFd fd) {
  if (!fd) return fd;
  long high = syscall(SYS_fcntl, fd.get(), F_DUPFD_CLOEXEC, 900);
  if (high < 0) high = syscall(SYS_fcntl, fd.get(), F_DUPFD_CLOEXEC, 3);
  if (high >= 0) fd = UniqueFd(int(high));
  note_internal(fd.get(), true);
  return fd;
}

}  // namespace unetmap::client
