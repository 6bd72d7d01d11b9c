// SPDX-License-Identifier: BSD-2-Clause
// Whether the memory that a program gives a call can be used: what cannot is the kernel's to refuse, and no signal.
//
// A page that is new is asked for by system calls. Whether it can be written is asked only for calls that are ours:
// that writes a byte of the call's own memory back. Each thread knows the pages that its last calls had: a program that
// takes such a page away, and gives a call that address again, has the signal that every other access there gives.
#pragma once

#include <cstddef>
#include <cstdint>

namespace unetmap::shim {

constexpr uintptr_t kPageBits = 12, kKnownPages = 8;

// Number of a page + 1, at its number modulo kKnownPages; 0: none.
struct KnownPages {
  uintptr_t readable[kKnownPages], writable[kKnownPages];
};
[[gnu::visibility("hidden"), gnu::tls_model("initial-exec")]] extern constinit thread_local KnownPages known_pages;

// Of the bytes from `at` on, how many there are up to the first that cannot be used so.
[[gnu::visibility("hidden")]] size_t readable_bytes(const void* at, size_t bytes) noexcept;
[[gnu::visibility("hidden")]] size_t writable_bytes(const void* at, size_t bytes) noexcept;

inline bool page_known(const uintptr_t* known, const void* at, size_t bytes) {
  const uintptr_t first = reinterpret_cast<uintptr_t>(at), last = first + bytes - 1;
  return first >> kPageBits == last >> kPageBits &&
         known[(first >> kPageBits) % kKnownPages] == (first >> kPageBits) + 1;
}
inline bool known_writable(const void* at, size_t bytes) { return page_known(known_pages.writable, at, bytes); }

inline bool writable(const void* at, size_t bytes) {
  return known_writable(at, bytes) || writable_bytes(at, bytes) == bytes;
}
inline bool readable(const void* at, size_t bytes) {
  return page_known(known_pages.readable, at, bytes) || readable_bytes(at, bytes) == bytes;
}

}  // namespace unetmap::shim
