// SPDX-License-Identifier: BSD-2-Clause
// The copy of a packet from buffer to buffer.
#pragma once

#include <cstdint>
#include <cstring>

namespace unetmap::vale {

// Asks for a cache line that is about to be written, and that another processor may be reading.
inline void prefetch_to_write(const void* at) {
#if defined(__x86_64__)
  asm volatile("prefetchw %0" : : "m"(*static_cast<const char*>(at)));  // the compiler's own may ask for reading only
#else
  __builtin_prefetch(at, 1);
#endif
}

// Copies `len` bytes; short packets in whole 64-byte lines where `to_room` and `from_room` bytes allow that.
inline void copy_packet(uint8_t* to, const uint8_t* from, uint32_t len, uint32_t to_room, uint32_t from_room) {
  uint32_t lines = (len + 63) & ~63u;
  if (lines > 256 || lines > to_room || lines > from_room) {
    memcpy(to, from, len);
    return;
  }
  for (uint32_t i = 0; i < lines; i += 64) memcpy(to + i, from + i, 64);
}

}  // namespace unetmap::vale
