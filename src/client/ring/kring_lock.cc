// SPDX-License-Identifier: BSD-2-Clause
#include "client/ring/kring_lock.hh"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>

#include "base/fd.hh"
#include "client/link/clock.hh"

namespace unetmap::client {
namespace {

uint64_t namespace_tag() {
  struct stat info;
  if (syscall(SYS_newfstatat, AT_FDCWD, "/proc/self/ns/pid", &info, 0) < 0) return 1;
  return (info.st_ino & 0x7fffffff) | 1;
}

thread_local uint64_t own_word = 0;
thread_local pid_t own_pid = 0;
std::atomic<pid_t> process_id{0};

uint64_t word_of_this_thread() {
  // A forked child has a new id, and one process id look-up a fork is enough.
  pid_t pid = process_id.load(std::memory_order_relaxed);
  if (pid == 0) {
    process_id.store(pid = getpid(), std::memory_order_relaxed);
    pthread_atfork(nullptr, nullptr, [] { process_id.store(getpid(), std::memory_order_relaxed); });
  }
  if (own_pid != pid) {
    static const uint64_t tag = namespace_tag();
    own_word = tag << 32 | uint32_t(syscall(SYS_gettid));
    own_pid = pid;
  }
  return own_word;
}

// A process that was killed and not yet waited for still has its number.
bool is_zombie(pid_t tid) {
  char path[32], text[512];
  snprintf(path, sizeof path, "/proc/%d/stat", tid);
  UniqueFd file(int(syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC)));
  if (!file) return false;
  long n = syscall(SYS_read, file.get(), text, sizeof text - 1);
  text[n > 0 ? n : 0] = 0;
  const char* name_end = strrchr(text, ')');
  return name_end && name_end[1] == ' ' && (name_end[2] == 'Z' || name_end[2] == 'X');
}

bool is_gone(pid_t tid) { return kill(tid, 0) < 0 ? errno == ESRCH : is_zombie(tid); }

bool holder_is_gone(uint64_t word, uint64_t waited_ms) {
  if (word >> 32 != own_word >> 32) return waited_ms > 100;
  return is_gone(pid_t(uint32_t(word)));
}

}  // namespace

uint64_t thread_word() { return word_of_this_thread(); }

bool thread_gone(uint64_t word) { return word >> 32 == word_of_this_thread() >> 32 && is_gone(pid_t(uint32_t(word))); }

KringLock::KringLock(std::atomic<uint64_t>& word) : word_(word) {
  uint64_t own = word_of_this_thread(), seen = 0;
  if (word_.compare_exchange_strong(seen, own, std::memory_order_acquire, std::memory_order_relaxed)) {
    held_ = true;
    return;
  }
  if (seen == own) return;  // a signal handler of ours in the middle of our own sync
  int saved_errno = errno;
  uint64_t since = coarse_ms(), waited = 0;
  while (!held_ && waited < 200) {
    uint64_t free = 0;
    if (word_.compare_exchange_strong(free, own, std::memory_order_acquire, std::memory_order_relaxed)) {
      held_ = true;
    } else if (waited > 1 && holder_is_gone(free, waited) &&
               word_.compare_exchange_strong(free, own, std::memory_order_acquire, std::memory_order_relaxed)) {
      held_ = stolen_ = true;
    } else {
      timespec moment{0, 50'000};
      syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &moment, nullptr);
      waited = coarse_ms() - since;
    }
  }
  errno = saved_errno;
}

KringLock::~KringLock() {
  if (held_) word_.store(0, std::memory_order_release);
}

}  // namespace unetmap::client
