// SPDX-License-Identifier: BSD-2-Clause
#include "shim/parameters.hh"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "base/fd.hh"

namespace unetmap::shim {

int open_parameter(std::string_view name, int flags) noexcept {
  const Parameter* parameter = find_parameter(name);
  if (!parameter) {
    errno = ENOENT;
    return -1;
  }
  if (flags & O_DIRECTORY) {
    errno = ENOTDIR;
    return -1;
  }
  if ((flags & O_CREAT) && (flags & O_EXCL)) {
    errno = EEXIST;
    return -1;
  }
  if ((flags & O_ACCMODE) != O_RDONLY) {
    errno = EACCES;
    return -1;
  }
  UniqueFd file(int(syscall(SYS_memfd_create, "netmap-parameter", MFD_CLOEXEC | MFD_ALLOW_SEALING)));
  if (!file) return -1;
  char text[32];
  int length = snprintf(text, sizeof text, "%lld\n", static_cast<long long>(parameter->value));
  if (syscall(SYS_pwrite64, file.get(), text, length, 0) != length) return -1;
  constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
  if (syscall(SYS_fcntl, file.get(), F_ADD_SEALS, kSeals) < 0) return -1;
  if (!(flags & O_CLOEXEC) && syscall(SYS_fcntl, file.get(), F_SETFD, 0) < 0) return -1;
  return file.release();
}

}  // namespace unetmap::shim
