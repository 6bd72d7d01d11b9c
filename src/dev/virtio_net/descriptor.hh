// SPDX-License-Identifier: BSD-2-Clause
// One descriptor as it lies in guest memory, split and packed: virtio 1.2, sections 2.7.5 and 2.8.13.
#pragma once

#include <cstddef>
#include <cstdint>

#include "guest/words.hh"

namespace unetmap::virtio {

inline constexpr size_t kDescriptorBytes = 16;

inline constexpr uint16_t kDescNext = 1;
inline constexpr uint16_t kDescWrite = 2;
inline constexpr uint16_t kDescIndirect = 4;
inline constexpr uint16_t kDescAvail = 1 << 7;  // packed
inline constexpr uint16_t kDescUsed = 1 << 15;  // packed

struct SplitDescriptor {
  uint64_t address;
  uint32_t bytes;
  uint16_t flags;
  uint16_t next;

  static SplitDescriptor load(const uint8_t* at) noexcept {
    const uint64_t address = load_once<uint64_t>(at), rest = load_once<uint64_t>(at + 8);
    return {address, static_cast<uint32_t>(rest), static_cast<uint16_t>(rest >> 32), static_cast<uint16_t>(rest >> 48)};
  }
};

struct PackedDescriptor {
  uint64_t address;
  uint32_t bytes;
  uint16_t id;
  uint16_t flags;

  static PackedDescriptor load(const uint8_t* at) noexcept {
    const uint64_t address = load_once<uint64_t>(at), rest = load_once<uint64_t>(at + 8);
    return {address, static_cast<uint32_t>(rest), static_cast<uint16_t>(rest >> 32), static_cast<uint16_t>(rest >> 48)};
  }
};

}  // namespace unetmap::virtio
