// SPDX-License-Identifier: BSD-2-Clause
// mmap of a netmap descriptor.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "client/descriptor/calls.hh"
#include "client/descriptor/descriptor.hh"
#include "client/link/errors.hh"

namespace unetmap::client {
namespace {

// The same memory, of which no mapping can be made one that writes. Where there is no /proc: as it is.
UniqueFd read_only(int fd) {
  return UniqueFd(
      int(syscall(SYS_openat, AT_FDCWD, ("/proc/self/fd/" + std::to_string(fd)).c_str(), O_RDONLY | O_CLOEXEC)));
}

void* map_region(Descriptor& d, void* addr, size_t length, int prot, int flags, off_t offset) {
  auto fail = [](int code, const char* text) {
    report_error(text);
    errno = code;
    return reinterpret_cast<void*>(-1);
  };
  Bound* bound = d.bound(true);
  if (!bound)
    return fail(d.dead() ? ENXIO : EINVAL, "mmap of a netmap descriptor: not registered; NIOCREGIF comes first");
  const wire::RegionInfo& info = bound->info.region;
  uint64_t total = info.app_bytes + uint64_t{info.nbufs} * info.buf_size;
  uint64_t pages = (total + 4095) & ~uint64_t{4095}, from = uint64_t(offset);
  if (from % 4096 != 0 || from > pages || length == 0 || length > pages - from)
    return fail(EINVAL, "mmap of a netmap descriptor: reaches beyond the region's nr_memsize, or begins within a page");
  // Who opened it for writing alone has nothing to map, as of any device.
  const int mode = access_mode(d.fd());
  const bool shared = (flags & MAP_TYPE) == MAP_SHARED || (flags & MAP_TYPE) == MAP_SHARED_VALIDATE;
  if (mode == O_WRONLY || (mode == O_RDONLY && shared && (prot & PROT_WRITE)))
    return fail(EACCES,
                mode == O_WRONLY
                    ? "mmap of a netmap descriptor: opened with O_WRONLY; open it with O_RDWR"
                    : "mmap of a netmap descriptor: for writing, and opened with O_RDONLY; open it with O_RDWR");
  if (!shared && (flags & MAP_TYPE) != MAP_PRIVATE)
    return fail(EINVAL, "mmap of a netmap descriptor: neither MAP_SHARED nor MAP_PRIVATE; say MAP_SHARED");
  int privates = bound->region->private_fd.get(), exchange = bound->region->exchange_fd.get();
  UniqueFd privates_read, exchange_read;
  if (mode == O_RDONLY && shared) {
    privates_read = read_only(privates);
    exchange_read = read_only(exchange);
    if (privates_read) privates = privates_read.get();
    if (exchange_read) exchange = exchange_read.get();
  }
  // One stretch of addresses: netmap_if and rings of the one memfd, then the buffers of the other.
  flags &= ~MAP_ANONYMOUS;
  long base = syscall(SYS_mmap, addr, length, PROT_NONE,
                      (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base < 0 && base > -4096) return reinterpret_cast<void*>(-1);
  int fixed = (flags & ~MAP_FIXED_NOREPLACE) | MAP_FIXED;
  size_t rings = from < info.app_bytes ? std::min<size_t>(length, info.app_bytes - from) : 0;
  uint64_t buffers = info.exchange_bytes + (from + rings - info.app_bytes);
  bool mapped = rings == 0 || syscall(SYS_mmap, base, rings, prot, fixed, privates, offset) == base;
  if (mapped && length > rings) {
    long at = base + long(rings);
    mapped = syscall(SYS_mmap, at, length - rings, prot, fixed, exchange, off_t(buffers)) == at;
  }
  if (!mapped) {
    int saved = errno;
    munmap(reinterpret_cast<void*>(base), length);
    errno = saved;
    return reinterpret_cast<void*>(-1);
  }
  return reinterpret_cast<void*>(base);
}

}  // namespace

void* map(Descriptor& d, void* addr, size_t length, int prot, int flags, off_t offset) noexcept {
  return unless_no_memory(MAP_FAILED, [&] { return map_region(d, addr, length, prot, flags, offset); });
}

}  // namespace unetmap::client
