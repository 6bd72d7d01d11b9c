// SPDX-License-Identifier: BSD-2-Clause
#include "shim/known_pages.hh"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "client/memory/user_memory.hh"

namespace unetmap::shim {
namespace {

template <class Usable>
size_t usable_bytes(uintptr_t* known_pages, const void* at, size_t bytes, Usable&& usable) {
  const uintptr_t begin = reinterpret_cast<uintptr_t>(at);
  bytes = std::min<uintptr_t>(bytes, ~begin);
  for (size_t done = 0; done < bytes;) {
    const uintptr_t here = begin + done, page = here >> kPageBits;
    uintptr_t& known = known_pages[page % kKnownPages];
    if (known != page + 1) {
      if (!usable(here)) return done;
      known = page + 1;
    }
    done = std::min<size_t>(bytes, ((page + 1) << kPageBits) - begin);
  }
  return bytes;
}

// By a call that every program makes, which its filter of system calls therefore lets pass, and that reads the new mask
// before it looks what is to become of it. Address 0 would be no mask.
bool can_be_read(uintptr_t at) {
  constexpr int kNothing = -1;
  constexpr uintptr_t kMaskBytes = 8;
  const uintptr_t mask = at < kMaskBytes ? kMaskBytes : at & ~(kMaskBytes - 1);
  const int saved = errno;
  const bool read = syscall(SYS_rt_sigprocmask, kNothing, mask, nullptr, kMaskBytes) == 0 || errno != EFAULT;
  errno = saved;
  return read;
}

bool can_be_written(uintptr_t at) {
  uint8_t byte;
  return client::load_user(at, byte) == 0 && client::store_user(at, byte) == 0;
}

}  // namespace

constinit thread_local KnownPages known_pages = {};

size_t readable_bytes(const void* at, size_t bytes) noexcept {
  return usable_bytes(known_pages.readable, at, bytes, can_be_read);
}

size_t writable_bytes(const void* at, size_t bytes) noexcept {
  return usable_bytes(known_pages.writable, at, bytes, can_be_written);
}

}  // namespace unetmap::shim
