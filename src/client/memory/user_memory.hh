// SPDX-License-Identifier: BSD-2-Clause
// Copies to and from addresses that a program gave in a request. Where a kernel would find nothing there, so do these:
// EFAULT, not a signal in the caller.
#pragma once

#include <cstddef>
#include <cstdint>

namespace unetmap::client {

// 0, or EFAULT when not all of the bytes can be read or written. Any thread; nothing of the program is changed
// meanwhile (no signal handlers, no descriptors that stay), and errno is kept.
int load_user(uint64_t address, void* to, size_t bytes) noexcept;
int store_user(uint64_t address, const void* from, size_t bytes) noexcept;

// Whether memory can be read, or written, as a whole; it keeps what is in it.
bool readable_user(uint64_t address, size_t bytes) noexcept;
bool writable_user(uint64_t address, size_t bytes) noexcept;

// Whether mappings that may be written lie at all of these addresses. No page is touched. Where there is no /proc to
// look in, the program is believed.
bool writable_mappings(uint64_t address, uint64_t bytes);

// Moves the mappings in [from, from + bytes), which follow each other without a gap, to the same places from `to` on,
// where nothing is that is missed. 0, or an errno value and all is where it was.
int move_mappings(uint64_t from, uint64_t bytes, uint64_t to) noexcept;
// Whether a region's memory, rings and buffers, is mapped there as a whole.
bool maps_region(uint64_t address, uint64_t bytes);

template <class T>
int load_user(uint64_t address, T& to) noexcept {
  return load_user(address, &to, sizeof to);
}
template <class T>
int store_user(uint64_t address, const T& from) noexcept {
  return store_user(address, &from, sizeof from);
}

}  // namespace unetmap::client
