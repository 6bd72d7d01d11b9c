// SPDX-License-Identifier: BSD-2-Clause
// Why a device is broken: what its driver did that no driver may do. Where the manual says what the card does with it,
// the card does that; these are what it leaves undefined, and what would make us touch memory that is not there.
#pragma once

#include <cstdint>

namespace unetmap::e1000 {

enum class Fault : uint8_t {
  kNone,
  kTxTail,        // TDT, or the extension's guest_tdt, is beyond the ring
  kTxHead,        // TDH is
  kTxRing,        // the ring is not in guest memory
  kTxBuffer,      // a buffer is not
  kRxTail,        // RDT, or the extension's guest_rdt, is beyond the ring
  kRxHead,        // RDH is
  kRxRing,        // the ring is not in guest memory
  kRxBuffer,      // a buffer is not
  kBlock,         // the communication status block is not, or misaligned
  kHeaderRing,    // the array of virtio-net headers is not
  kMemoryBroken,  // the memory itself was cut short
};

// The driver named an address where we have no memory: its fault, or that of who should have shared it.
[[nodiscard]] constexpr bool outside_memory(Fault fault) noexcept {
  switch (fault) {
    case Fault::kTxRing:
    case Fault::kTxBuffer:
    case Fault::kRxRing:
    case Fault::kRxBuffer:
    case Fault::kHeaderRing:
      return true;
    default:
      return false;
  }
}

// A sentence without a full stop, to follow the name of the port: "vale0:01: TDT lies beyond the ring".
[[nodiscard]] const char* describe(Fault fault) noexcept;

}  // namespace unetmap::e1000
