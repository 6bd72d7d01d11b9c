// SPDX-License-Identifier: BSD-2-Clause
// What a ring layout is to the code above it (vring.hh); split_ring.hh and packed_ring.hh are the two.
//
// A ring has two positions. The *used* one is behind the last chain given back to the driver; the *next* one is where
// chains are taken from. Chains are given back in the order in which they came, and every round ends with the two equal
// (rewind): what was taken and not given back is taken again next round. So the state of a ring between rounds is one
// position, which for a split ring even stands in its memory, and a new process goes on where the last one stopped.
//
// Memory order, the same for both layouts:
//   driver fills descriptors -> releases the available index (split) or flags (packed) -> we acquire it, then load them
//   we fill buffers and used entries -> release the used index, or the flags of the first entry -> driver acquires it
//   either side publishes, then a full fence, then reads whether the other wants a notification; and the other asks for
//   one, then a full fence, then looks once more: one of the two sees the other.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>

#include "dev/virtio_net/chain.hh"
#include "guest/guest_memory.hh"

namespace unetmap::virtio {

inline constexpr uint32_t kMaxQueueSize = 32768;

// The three parts of a ring: in the split layout table, available ring, used ring; in the packed one the descriptor
// ring, the driver's and the device's event suppression.
struct RingParts {
  uint8_t* descriptors = nullptr;
  uint8_t* driver = nullptr;
  uint8_t* device = nullptr;
};

// For the log of written pages: which of the parts we write, and where the guest sees them.
struct RingLog {
  bool on = false;
  uint64_t descriptors = 0;  // guest addresses
  uint64_t device = 0;
};

// What a driver's consent means to a ring.
struct RingOptions {
  bool event_idx = false;
  bool indirect = false;
  bool in_order = false;
};

// need_event(wanted, now, before): does the step from `before` to `now` pass the position `wanted`? All modulo 2^16;
// virtio 1.2, section 2.7.10.
[[nodiscard]] constexpr bool passes(uint16_t wanted, uint16_t now, uint16_t before) noexcept {
  return static_cast<uint16_t>(now - wanted - 1) < static_cast<uint16_t>(now - before);
}

template <class R>
concept RingLayout = requires(R ring, const R& view, const guest::GuestMemory& memory, ChainBatch& batch,
                              const Chain& chain, size_t count, uint32_t position, RingParts parts, RingLog log) {
  // Bytes and alignment of each part for a queue of so many entries.
  { R::descriptors_bytes(position) } -> std::same_as<size_t>;
  { R::driver_bytes(position, bool{}) } -> std::same_as<size_t>;
  { R::device_bytes(position, bool{}) } -> std::same_as<size_t>;
  { R::size_is_good(position) } -> std::same_as<bool>;
  // Begins at `position` as vhost-user's SET_VRING_BASE encodes it.
  ring.start(position, position, RingOptions{}, parts, log);
  ring.move(parts, log);                                           // the memory lies elsewhere now
  { view.position() } -> std::same_as<uint32_t>;                   // for GET_VRING_BASE
  { ring.take(memory, batch, count) } -> std::same_as<RingFault>;  // adds up to `count` chains to the batch
  ring.give(memory, chain, position);                              // writes a used entry: so many bytes written
  ring.give_read(memory, batch, count, count);                     // chains [first, first + count): nothing written
  ring.publish(memory);                                            // shows the entries to the driver
  ring.rewind();                                                   // next = used
  { ring.call_wanted() } -> std::same_as<bool>;                    // after publish: must the driver be notified?
  { view.call_overdue() } -> std::same_as<bool>;                   // vring.hh
  { ring.arm(memory) } -> std::same_as<bool>;                      // ask for kicks; true: something is there now
  ring.disarm(memory);                                             // ask for none
};

}  // namespace unetmap::virtio
