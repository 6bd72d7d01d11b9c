// SPDX-License-Identifier: BSD-2-Clause
#include "mem/memfd.hh"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace unetmap::mem {

Result<UniqueFd> create(const char* name, uint64_t bytes) {
  UniqueFd fd(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return Error::from_errno(errno, std::string("memfd ") + name);
  if (ftruncate(fd.get(), off_t(bytes)) < 0)
    return Error::from_errno(errno, std::string("memfd ") + name + ": " + std::to_string(bytes) + " bytes");
  // Raw: a client's fcntl(2) is one of those that libunetmap.so stands in front of.
  if (syscall(SYS_fcntl, fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
    return Error::from_errno(errno, std::string("memfd ") + name + ": seal");
  return fd;
}

Mapping::~Mapping() {
  if (at_) munmap(at_, bytes_);
}

Result<Mapping> Mapping::map(int fd, uint64_t bytes) {
  struct stat info;
  long seals = syscall(SYS_fcntl, fd, F_GET_SEALS, 0);
  if (fstat(fd, &info) < 0) return Error::from_errno(errno, "shared memory");
  if (seals < 0 || !(seals & F_SEAL_SHRINK) || uint64_t(info.st_size) < bytes)
    return Error{EINVAL, "shared memory: smaller than announced, or not sealed"};
  long at = syscall(SYS_mmap, nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
  if (at < 0 && at > -4096) return Error::from_errno(errno, "shared memory: map " + std::to_string(bytes) + " bytes");
  return Mapping(reinterpret_cast<uint8_t*>(at), bytes);
}

}  // namespace unetmap::mem
