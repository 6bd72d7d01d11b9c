// SPDX-License-Identifier: BSD-2-Clause
#include "mem/memfd.hh"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace unetmap::mem {
namespace {

constexpr uint64_t kHugePage = uint64_t{2} << 20;

}  // namespace

Result<UniqueFd> create(const char* name, uint64_t bytes) {
  UniqueFd fd(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return Error::from_errno(errno, std::string("memfd ") + name);
  if (ftruncate(fd.get(), off_t(bytes)) < 0)
    return Error::from_errno(errno, std::string("memfd ") + name + ": " + std::to_string(bytes) + " bytes" +
                                        (errno == EFBIG ? "; raise the limit of file sizes (ulimit -f)" : ""));
  // Raw: a client's fcntl(2) is one of those that libunetmap.so stands in front of.
  if (syscall(SYS_fcntl, fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
    return Error::from_errno(errno, std::string("memfd ") + name + ": seal");
  return fd;
}

void Mapping::use_huge_pages(uint64_t bytes) const {
  bytes = (bytes + kHugePage - 1) & ~(kHugePage - 1);
  if (!at_ || bytes > bytes_) return;
  constexpr int kCollapse = 25;  // MADV_COLLAPSE, which the headers of Debian 12 do not have
  int saved = errno;
  if (madvise(at_, bytes, MADV_HUGEPAGE) == 0) madvise(at_, bytes, kCollapse);
  errno = saved;
}

Mapping::~Mapping() {
  if (at_) munmap(at_, bytes_);
}

Result<Mapping> Mapping::map_device(int fd, uint64_t bytes) {
  long at = syscall(SYS_mmap, nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == -1) return Error::from_errno(errno, "memory of a device: map " + std::to_string(bytes) + " bytes");
  return Mapping(reinterpret_cast<uint8_t*>(at), bytes);
}

Result<Mapping> Mapping::map(int fd, uint64_t bytes) {
  struct stat info;
  long seals = syscall(SYS_fcntl, fd, F_GET_SEALS, 0);
  if (fstat(fd, &info) < 0) return Error::from_errno(errno, "shared memory");
  if (seals < 0 || !(seals & F_SEAL_SHRINK) || uint64_t(info.st_size) < bytes)
    return Error{EINVAL, "shared memory: smaller than announced, or not sealed"};
  // At an address where huge pages of the file can be mapped as such: addresses are set aside, and those beside the
  // aligned stretch given back.
  auto failed = [&] { return Error::from_errno(errno, "shared memory: map " + std::to_string(bytes) + " bytes"); };
  uint64_t pages = (bytes + 4095) & ~uint64_t{4095};
  long space = syscall(SYS_mmap, nullptr, pages + kHugePage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (space == -1) return failed();
  uint64_t begin = uint64_t(space), at = (begin + kHugePage - 1) & ~(kHugePage - 1);
  if (at > begin) munmap(reinterpret_cast<void*>(begin), at - begin);
  if (uint64_t rest = begin + pages + kHugePage - (at + pages)) munmap(reinterpret_cast<void*>(at + pages), rest);
  if (syscall(SYS_mmap, at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, 0) == -1) {
    int saved = errno;
    munmap(reinterpret_cast<void*>(at), pages);
    errno = saved;
    return failed();
  }
  return Mapping(reinterpret_cast<uint8_t*>(at), bytes);
}

}  // namespace unetmap::mem
