// SPDX-License-Identifier: BSD-2-Clause
// What the two layouts of a virtqueue have in common, from the driver's side. Both number what they make available by a
// count that runs freely, of chains (split) or descriptors (packed), as sizes are powers of two: its place in the ring
// is count % size.
#pragma once

#include <atomic>
#include <cstdint>

namespace unetmap::driver {

// Each part in a page of its own.
struct VringPages {
  uint8_t* descriptors;
  uint8_t* driver;  // written by us: the available ring, or when we want interrupts
  uint8_t* device;  // written by the device: the used ring, or when it wants notifications
};

struct Segment {
  uint64_t address;
  uint32_t bytes;
};

struct UsedElement {
  uint32_t id, len;
};

namespace words {

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

}  // namespace words

// Whether an index that went from `before` to `now` passed the one that the other side wants to hear of (virtio 1.2,
// 2.7.10).
constexpr bool passed(uint16_t event, uint16_t before, uint16_t now) {
  return uint16_t(now - event - 1) < uint16_t(now - before);
}

}  // namespace unetmap::driver
