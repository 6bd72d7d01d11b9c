// SPDX-License-Identifier: BSD-2-Clause
// Words of a split virtqueue (virtio 1.2, 2.7), each loaded and stored once.
#pragma once

#include <atomic>
#include <cstdint>

namespace unetmap::driver::split {

inline constexpr uint16_t kNext = 1, kWrite = 2;            // flags of a descriptor
inline constexpr uint16_t kNoInterrupt = 1, kNoNotify = 1;  // of the available and the used ring

inline uint16_t load16(const uint8_t* at) {
  return __atomic_load_n(reinterpret_cast<const uint16_t*>(at), __ATOMIC_ACQUIRE);
}
inline uint32_t load32(const uint8_t* at) {
  return __atomic_load_n(reinterpret_cast<const uint32_t*>(at), __ATOMIC_RELAXED);
}
inline void store16(uint8_t* at, uint16_t value) {
  __atomic_store_n(reinterpret_cast<uint16_t*>(at), value, __ATOMIC_RELEASE);
}
inline void store64(uint8_t* at, uint64_t value) {
  __atomic_store_n(reinterpret_cast<uint64_t*>(at), value, __ATOMIC_RELAXED);
}

inline void describe(uint8_t* descriptors, uint32_t id, uint64_t address, uint32_t bytes, uint16_t flags,
                     uint16_t next) {
  store64(descriptors + 16 * id, address);
  store64(descriptors + 16 * id + 8, bytes | uint64_t{flags} << 32 | uint64_t{next} << 48);
}
inline uint8_t* available_entry(uint8_t* available, uint32_t index) { return available + 4 + 2 * index; }
inline const uint8_t* used_entry(const uint8_t* used, uint32_t index) { return used + 4 + 8 * index; }
inline uint16_t index_of(const uint8_t* ring) { return load16(ring + 2); }

// True if the device is to be told of what was made available just now.
inline bool wants_notification(const uint8_t* used) {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return !(load16(used) & kNoNotify);
}

}  // namespace unetmap::driver::split
