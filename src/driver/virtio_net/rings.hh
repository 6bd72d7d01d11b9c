// SPDX-License-Identifier: BSD-2-Clause
// A pair of queues of a modern virtio network device (virtio 1.2, 5.1.6) over split or packed rings, with netmap's
// buffers in their descriptors. The header of a packet lies in the bytes before its buffer, which are in the same
// piece.
#pragma once

#include <algorithm>
#include <bit>
#include <memory>
#include <span>

#include "driver/queue.hh"
#include "driver/virtio_net/vring.hh"

namespace unetmap::driver {

inline constexpr uint32_t kVirtioHeader = 12;  // of every packet, for a device of VERSION_1
constexpr uint16_t rx_queue_number(uint32_t pair) { return uint16_t(2 * pair); }
// Descriptors of each ring. It is in memory that others write to: a power of two that rings have, whatever it says.
inline uint32_t ring_size(const Shared& shared) {
  return std::bit_floor(std::clamp(shared.descriptors, 1u, kMostDescriptors));
}
constexpr uint16_t tx_queue_number(uint32_t pair) { return uint16_t(2 * pair + 1); }

// Of the layout that shared.virtio_ways says; the ring's pages as mapped here.
std::unique_ptr<TxQueue> virtio_tx(Registers& registers, Shared& shared, uint32_t pair, const VringPages& pages,
                                   const Ring& ring);
std::unique_ptr<RxQueue> virtio_rx(Registers& registers, Shared& shared, uint32_t pair, const VringPages& pages,
                                   const Ring& ring);

// An interrupt at the next packet that is received (`in`), and when some of what is sent is over (`out`). Whoever asks
// looks at the rings once more.
void virtio_ask(Registers& registers, Shared& shared, uint32_t pair, const VringPages& tx, const VringPages& rx, bool in,
                bool out);

}  // namespace unetmap::driver
