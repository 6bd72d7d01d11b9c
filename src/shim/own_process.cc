// SPDX-License-Identifier: BSD-2-Clause
#include "shim/own_process.hh"

#include <fcntl.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "client/descriptor/calls.hh"
#include "client/link/numbers.hh"
#include "shim/next.hh"

namespace unetmap::shim {
namespace {

// Process that this memory belongs to; 0 until the constructor ran, when there can be no child either.
std::atomic<pid_t> owner{0};

[[gnu::constructor]] void note_owner() {
  owner.store(getpid(), std::memory_order_relaxed);
  pthread_atfork(nullptr, nullptr, [] { owner.store(getpid(), std::memory_order_relaxed); });
}

// One bit a number. Higher ones are not protected, which matters only to programs that close everything.
constexpr int kProtectedNumbers = 65536;
std::atomic<uint64_t> internal_bits[kProtectedNumbers / 64];

void note(int fd, bool internal) {
  if (fd < 0 || fd >= kProtectedNumbers) return;
  uint64_t bit = uint64_t{1} << (fd % 64);
  if (internal)
    internal_bits[fd / 64].fetch_or(bit, std::memory_order_relaxed);
  else
    internal_bits[fd / 64].fetch_and(~bit, std::memory_order_relaxed);
}

std::atomic<int> highest{-1};

constexpr int kFirstNumber = 900;  // below 1024, the usual limit, and well above what programs name themselves

}  // namespace

bool own_process() noexcept {
  pid_t known = owner.load(std::memory_order_relaxed);
  return known == 0 || known == getpid();
}

int make_internal(int fd) noexcept {
  if (fd < 0) return fd;
  long high = syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, kFirstNumber);
  if (high >= 0) {
    syscall(SYS_close, fd);
    fd = int(high);
  } else {
    syscall(SYS_fcntl, fd, F_SETFD, FD_CLOEXEC);
  }
  note(fd, true);
  return fd;
}

void close_internal(int fd) noexcept {
  if (fd < 0) return;
  KeepErrno keep;
  note(fd, false);
  syscall(SYS_close, fd);
}

bool internal_number(int fd) noexcept {
  if (fd < 0) return false;
  if (fd < kProtectedNumbers && internal_bits[fd / 64].load(std::memory_order_relaxed) >> (fd % 64) & 1) return true;
  return client::is_internal(fd);
}

int highest_number() noexcept { return highest.load(std::memory_order_relaxed); }

void note_number(int fd) noexcept {
  int seen = highest.load(std::memory_order_relaxed);
  while (fd > seen && !highest.compare_exchange_weak(seen, fd, std::memory_order_relaxed)) {
  }
}

}  // namespace unetmap::shim
