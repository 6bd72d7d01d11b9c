// SPDX-License-Identifier: BSD-2-Clause
// What each descriptor number of this process is, in one load: the library stands in front of calls that mostly see
// others.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/fd.hh"

namespace unetmap::client {

// A Descriptor's address, or one of these. kUnknown: not looked at yet. Numbers beyond the array are looked up
// elsewhere each time.
constexpr uintptr_t kUnknown = 0, kOther = 1, kInternal = 2;
constexpr int kMaxNumbers = 65536;
[[gnu::visibility("hidden")]] extern std::atomic<uintptr_t> numbers[kMaxNumbers];

inline void set_number(int fd, uintptr_t value) {
  if (fd >= 0 && fd < kMaxNumbers) numbers[fd].store(value, std::memory_order_release);
}
inline uintptr_t get_number(int fd) {
  return fd >= 0 && fd < kMaxNumbers ? numbers[fd].load(std::memory_order_acquire) : kUnknown;
}

// Descriptors of the library itself (doorbells, epoll instances): close() by the program is to fail with EBADF.
inline bool is_internal(int fd) noexcept { return get_number(fd) == kInternal; }
inline void note_internal(int fd, bool internal) { set_number(fd, internal ? kInternal : kUnknown); }

// A copy out of the range that programs use, or anywhere where they may not have more; close-on-exec, and noted as
// internal. Empty, with errno, if there may be none at all.
UniqueFd duplicate_high(int fd);
// Moves a descriptor of the library's own out of the range that programs use, close-on-exec, and notes it as internal.
UniqueFd move_high(UniqueFd fd);

}  // namespace unetmap::client
