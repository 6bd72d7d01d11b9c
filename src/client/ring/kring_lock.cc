// SPDX-License-Identifier: BSD-2-Clause
#include "client/ring/kring_lock.hh"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

#include "base/lock_holder.hh"
#include "client/link/clock.hh"

namespace unetmap::client {
namespace {

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
    own_word = lock_holder_word();
    own_pid = pid;
  }
  return own_word;
}

bool holder_is_gone(uint64_t word, uint64_t waited_ms) {
  return holder_is_in_our_namespace(word) ? holder_has_ended(word) : waited_ms > 100;
}

}  // namespace

uint64_t thread_word() { return word_of_this_thread(); }

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
