// SPDX-License-Identifier: BSD-2-Clause
#include "dev/virtio_net/fault.hh"

namespace unetmap::virtio {

const char* describe(RingFault fault) noexcept {
  switch (fault) {
    case RingFault::kNone:
      return "in order";
    case RingFault::kRingOutsideMemory:
      return "a part of the ring is not in guest memory";
    case RingFault::kRingMisaligned:
      return "a part of the ring is not aligned as it must be";
    case RingFault::kQueueSize:
      return "a queue size that no ring of this layout has";
    case RingFault::kAvailableIndex:
      return "more descriptors are offered than the queue has";
    case RingFault::kHead:
      return "an offered chain begins outside the descriptor table";
    case RingFault::kNext:
      return "a chain of descriptors leaves its table";
    case RingFault::kLoop:
      return "a chain of descriptors loops, or is longer than its table";
    case RingFault::kZeroLength:
      return "a descriptor with a length of 0";
    case RingFault::kOutsideMemory:
      return "a buffer outside guest memory";
    case RingFault::kReadAfterWrite:
      return "a readable buffer behind a writable one";
    case RingFault::kChainBytes:
      return "a chain of 4 GiB or more";
    case RingFault::kChainPieces:
      return "a chain of more pieces than are taken";
    case RingFault::kIndirectNotAgreed:
      return "an indirect table, which was not negotiated";
    case RingFault::kIndirectFlags:
      return "an indirect table with a next descriptor";
    case RingFault::kIndirectBytes:
      return "an indirect table of an impossible length";
    case RingFault::kIndirectNested:
      return "an indirect table in an indirect table";
    case RingFault::kIndirectOutside:
      return "an indirect table outside guest memory";
    case RingFault::kAway:
      return "a buffer in memory that was taken away";
    case RingFault::kNothingToRead:
      return "a chain to transmit without a readable buffer";
    case RingFault::kNothingToWrite:
      return "a chain to receive into without a writable buffer";
  }
  return "an unknown fault";
}

}  // namespace unetmap::virtio
