// SPDX-License-Identifier: BSD-2-Clause
// close_range and closefrom. Programs that close everything above some number do not mean our doorbells.
#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/fd.hh"
#include "shim/next.hh"
#include "shim/numbers.hh"
#include "shim/own_process.hh"

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1u << 2)
#endif

namespace unetmap::shim {
namespace {

int raw_close_range(unsigned first, unsigned last, unsigned flags) {
  return int(syscall(SYS_close_range, first, last, flags));
}

// Calls use(fd) for each open descriptor from `first` to `last`, in no order. Without allocating: this runs between
// fork and exec. Needs /proc; without it, tries all numbers up to a limit.
template <class Use>
void each_open(unsigned first, unsigned last, Use use) {
  UniqueFd dir(int(syscall(SYS_openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
  if (!dir) {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    unsigned end = unsigned(std::min<rlim_t>({limit.rlim_cur, rlim_t{last} + 1, 65536}));
    for (unsigned fd = first; fd < end; fd++) use(int(fd));
    return;
  }
  alignas(dirent64) char buffer[4096];
  for (;;) {
    long n = syscall(SYS_getdents64, dir.get(), buffer, sizeof buffer);
    if (n <= 0) return;
    for (long at = 0; at < n;) {
      auto* entry = reinterpret_cast<dirent64*>(buffer + at);
      at += entry->d_reclen;
      char* end;
      unsigned long fd = strtoul(entry->d_name, &end, 10);
      if (*end == 0 && end != entry->d_name && fd >= first && fd <= last && int(fd) != dir.get()) use(int(fd));
    }
  }
}

// The lowest internal number from `from` to `last`; `last` + 1 if there is none.
uint64_t next_internal(uint64_t from, uint64_t last) {
  constexpr uint64_t kHighest = 65535;  // see own_process.cc; and src/client keeps its own as low
  for (uint64_t fd = from; fd <= std::min(last, kHighest); fd++)
    if (internal_number(int(fd))) return fd;
  return last + 1;
}

int close_between(unsigned first, unsigned last, unsigned flags) {
  if (first > last || (flags & ~(CLOSE_RANGE_CLOEXEC | 2u /* CLOSE_RANGE_UNSHARE */)) || (flags & CLOSE_RANGE_CLOEXEC))
    return raw_close_range(first, last, flags);
  int saved_errno = errno;
  if (own_process())
    each_open(first, last, [](int fd) {
      if (!internal_number(fd)) number_closing(fd);
    });
  for (uint64_t from = first; from <= last;) {
    uint64_t stop = next_internal(from, last);
    if (stop > from) {
      int result = raw_close_range(unsigned(from), unsigned(stop - 1), flags);
      if (result < 0) return result;
    }
    from = stop + 1;
  }
  errno = saved_errno;
  return 0;
}

}  // namespace

extern "C" {

int shim_close_range(unsigned first, unsigned last, int flags) UNETMAP_INTERPOSE(close_range);
int shim_close_range(unsigned first, unsigned last, int flags) { return close_between(first, last, unsigned(flags)); }

void shim_closefrom(int first) UNETMAP_INTERPOSE(closefrom);
void shim_closefrom(int first) {
  unsigned from = first < 0 ? 0 : unsigned(first);
  if (close_between(from, ~0u, 0) == 0) return;
  // No such system call before Linux 5.9.
  each_open(from, ~0u, [](int fd) {
    if (!internal_number(fd)) syscall(SYS_close, fd);
  });
}

}  // extern "C"

}  // namespace unetmap::shim
