// SPDX-License-Identifier: BSD-2-Clause
#include "dev/e1000/fault.hh"

namespace unetmap::e1000 {

const char* describe(Fault fault) noexcept {
  switch (fault) {
    case Fault::kNone:
      return "in order";
    case Fault::kTxTail:
      return "the tail of the transmit ring lies beyond the ring";
    case Fault::kTxHead:
      return "the head of the transmit ring lies beyond the ring";
    case Fault::kTxRing:
      return "the transmit ring is not in guest memory";
    case Fault::kTxBuffer:
      return "a buffer to transmit is not in guest memory";
    case Fault::kRxTail:
      return "the tail of the receive ring lies beyond the ring";
    case Fault::kRxHead:
      return "the head of the receive ring lies beyond the ring";
    case Fault::kRxRing:
      return "the receive ring is not in guest memory";
    case Fault::kRxBuffer:
      return "a buffer to receive into is not in guest memory";
    case Fault::kBlock:
      return "the communication status block is not in guest memory, or not at a multiple of 4096";
    case Fault::kHeaderRing:
      return "the array of virtio-net headers is not in guest memory";
    case Fault::kMemoryBroken:
      return "the memory of the guest was cut short";
  }
  return "an unknown fault";
}

}  // namespace unetmap::e1000
