// SPDX-License-Identifier: BSD-2-Clause
#include "base/lock_holder.hh"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "base/fd.hh"

namespace unetmap {
namespace {

uint64_t namespace_tag() {
  struct stat info;
  if (syscall(SYS_newfstatat, AT_FDCWD, "/proc/self/ns/pid", &info, 0) < 0) return 1;
  return (info.st_ino & 0x7fffffff) | 1;
}

uint64_t own_tag() {
  static const uint64_t tag = namespace_tag();
  return tag;
}

// A process that was killed and not yet waited for still has its number; one that is killed closes its descriptors, of
// which others hear, before that. proc(5): the state and, six fields on, the kernel's flags of the thread.
bool is_ending(pid_t tid) {
  constexpr unsigned kExiting = 4;  // PF_EXITING
  char path[32], text[512];
  snprintf(path, sizeof path, "/proc/%d/stat", tid);
  UniqueFd file(int(syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC)));
  if (!file) return false;
  const long n = syscall(SYS_read, file.get(), text, sizeof text - 1);
  text[n > 0 ? n : 0] = 0;
  const char* name_end = strrchr(text, ')');
  char state = 0;
  unsigned flags = 0;
  if (!name_end || sscanf(name_end + 1, " %c %*d %*d %*d %*d %*d %u", &state, &flags) < 1) return false;
  return state == 'Z' || state == 'X' || (flags & kExiting) != 0;
}

}  // namespace

uint64_t lock_holder_word() { return own_tag() << 32 | uint32_t(syscall(SYS_gettid)); }

bool holder_is_in_our_namespace(uint64_t word) { return word >> 32 == own_tag(); }

bool holder_has_ended(uint64_t word) {
  if (!holder_is_in_our_namespace(word)) return false;
  const auto tid = pid_t(uint32_t(word));
  return kill(tid, 0) < 0 ? errno == ESRCH : is_ending(tid);
}

}  // namespace unetmap
