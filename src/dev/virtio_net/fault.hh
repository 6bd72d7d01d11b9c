// SPDX-License-Identifier: BSD-2-Clause
// Why a queue is broken: what its driver did that no driver may do.
#pragma once

#include <cstdint>

namespace unetmap::virtio {

enum class RingFault : uint8_t {
  kNone,
  kRingOutsideMemory,  // a part of the ring itself
  kRingMisaligned,     //
  kQueueSize,          // 0, too large, or (split) no power of two
  kAvailableIndex,     // ahead of what the queue can hold
  kHead,               // an available entry names no descriptor
  kNext,               // a descriptor's next one does not exist
  kLoop,               // more descriptors in a chain than there are in the table
  kZeroLength,         // an empty buffer
  kOutsideMemory,      // a buffer that is not, or not whole, in guest memory
  kReadAfterWrite,     // a buffer to be read behind one to be written
  kChainBytes,         // a chain of 4 GiB or more
  kChainPieces,        // a chain of more pieces than we take
  kIndirectNotAgreed,  // an indirect table without the feature
  kIndirectFlags,      // an indirect table that also has a next descriptor
  kIndirectBytes,      // a table that is empty, too long or no multiple of a descriptor
  kIndirectNested,     // a table in a table
  kIndirectOutside,    // a table that is not in guest memory
  kAway,               // no fault yet: memory that the front-end took away, and may bring back
  kNothingToRead,      // in a transmit queue: no readable buffer
  kNothingToWrite,     // in a receive queue: no writable buffer
};

// A sentence without a full stop, to follow the name of the queue: "vale0:01 queue 3: a chain of descriptors loops".
[[nodiscard]] const char* describe(RingFault fault) noexcept;

}  // namespace unetmap::virtio
