// SPDX-License-Identifier: BSD-2-Clause
#include "base/bell.hh"

#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>

namespace unetmap {
namespace {

// Of the thread that rings, and of the signal handler that interrupts it.
std::atomic<uint32_t> rung;    // writes begun
std::atomic<uint32_t> looked;  // as of the last signal
std::atomic<bool> ticking;
std::atomic<bool> prepared;  // else nobody would catch the signal, which ends a process that does not

void set_timer(int ms) {
  itimerval every{};
  every.it_interval.tv_usec = every.it_value.tv_usec = ms * 1000;
  setitimer(ITIMER_REAL, &every, nullptr);
}

void on_tick(int) {
  const int saved = errno;
  const uint32_t now = rung.load(std::memory_order_relaxed);
  if (now == looked.load(std::memory_order_relaxed)) {
    set_timer(0);
    ticking.store(false, std::memory_order_relaxed);
  }
  looked.store(now, std::memory_order_relaxed);
  errno = saved;
}

}  // namespace

void prepare_bells() {
  struct sigaction action {};
  action.sa_handler = on_tick;  // without SA_RESTART: that is the point
  if (sigaction(SIGALRM, &action, nullptr) == 0) prepared.store(true, std::memory_order_relaxed);
}

Rung ring_bell(int fd) {
  // In this order: a signal in between leaves the timer running, as it sees that something was rung.
  rung.store(rung.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  if (!ticking.load(std::memory_order_relaxed) && prepared.load(std::memory_order_relaxed)) {
    ticking.store(true, std::memory_order_relaxed);
    set_timer(kBellPatience_ms);
  }
  const uint64_t one = 1;
  if (write(fd, &one, sizeof one) >= 0) return Rung::kDone;
  return errno == EINTR ? Rung::kBlocked : Rung::kDone;
}

// As RWF_NOWAIT, whatever the descriptor's own flag: between a look and a read the other side may read it, too.
bool take_back(int fd) {
  uint64_t count = 0;
  const iovec to{&count, sizeof count};
  return syscall(SYS_preadv2, fd, &to, 1, -1L, -1L, RWF_NOWAIT) == ssize_t(sizeof count);
}

bool is_eventfd(int fd) {
  struct stat st;
  return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == 0;
}

}  // namespace unetmap
