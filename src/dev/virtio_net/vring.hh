// SPDX-License-Identifier: BSD-2-Clause
// A queue of either layout: finds the ring in guest memory, finds it again when the memory changes, and stops for good
// at the first thing that no driver may do. One thread at a time.
//
//   Vring ring;
//   if (RingFault why = ring.start(memory, setup); why != RingFault::kNone) refuse(describe(why));
//   ring.take(batch, 64);            // chains, checked and translated
//   ring.give(batch[0], bytes);      // in their order
//   if (ring.finish()) ring the driver's bell;
//   if (ring.fault() != RingFault::kNone) the device is broken;
//
// A ring, or a buffer of it, may lie in memory that the front-end takes away and brings back or has yet to tell: the
// ring waits, and goes on where it was. What it waits for is what waits_for() says.
//
// Costs: take loads each descriptor once and the available index at most once; finish stores the used index once and
// has one full fence, if there is anything to publish. What was taken and not given is taken again after finish().
#pragma once

#include <optional>
#include <variant>

#include "dev/virtio_net/features.hh"
#include "dev/virtio_net/packed_ring.hh"
#include "dev/virtio_net/split_ring.hh"

namespace unetmap::virtio {

// As a vhost-user front-end tells it.
struct RingSetup {
  uint64_t features = 0;  // negotiated
  uint32_t size = 0;
  uint32_t position = 0;     // SET_VRING_BASE
  uint64_t descriptors = 0;  // addresses of the front-end
  uint64_t driver = 0;
  uint64_t device = 0;
  bool log = true;  // while the memory is logging: our writes to the ring, too
  // Where they are logged: the guest's address of `device`; none: as the memory says.
  std::optional<uint64_t> log_at = {};
};

class Vring {
  // One branch where std::visit has a table.
  template <class F>
  decltype(auto) visit(F&& f) noexcept {
    if (packed_) return f(*std::get_if<PackedRing>(&ring_));
    return f(*std::get_if<SplitRing>(&ring_));
  }
  template <class F>
  decltype(auto) visit(F&& f) const noexcept {
    if (packed_) return f(*std::get_if<PackedRing>(&ring_));
    return f(*std::get_if<SplitRing>(&ring_));
  }

 public:
  // `memory` must outlive the ring's use. A fault is also kept: fault(). That the ring is in no memory is none, it
  // waits.
  RingFault start(const guest::GuestMemory& memory, const RingSetup& setup) noexcept;
  // Forgets the ring, and its fault. position() is still there.
  void stop() noexcept {
    memory_ = nullptr;
    fault_ = waits_for_ = RingFault::kNone;
  }
  [[nodiscard]] bool running() const noexcept { return memory_ != nullptr && fault_ == RingFault::kNone; }
  [[nodiscard]] uint32_t size() const noexcept { return setup_.size; }
  [[nodiscard]] RingFault fault() const noexcept { return fault_; }
  // What keeps a ring that is running from going on, until the memory changes; kNone: nothing.
  [[nodiscard]] RingFault waits_for() const noexcept { return waits_for_; }
  // Whether the driver may be waiting for a notification that went to nobody: it wants to be told of what was given
  // back, and nobody knows whether it has seen it.
  [[nodiscard]] bool call_overdue() noexcept {
    return ready() && visit([](const auto& ring) { return ring.call_overdue(); });
  }
  // Nothing was ever written to the driver's parts of it: no driver that kicks leaves them so.
  [[nodiscard]] bool untouched() const noexcept;
  // Chains taken since start(), those that were taken again counted again.
  [[nodiscard]] uint64_t taken() const noexcept { return taken_; }
  // Declares it broken for what the layer above found in a chain.
  void breaks(RingFault why) noexcept {
    if (fault_ == RingFault::kNone) fault_ = why;
  }
  // As GET_VRING_BASE wants it. Between two rounds.
  [[nodiscard]] uint32_t position() const noexcept {
    return placed_once_ ? visit([](const auto& ring) { return ring.position(); }) : setup_.position;
  }

  // Adds up to `count` chains to the batch; how many were added. 0 when there are none, or the ring is broken. The
  // chains before a fault are good and may be given back.
  size_t take(ChainBatch& batch, size_t count) noexcept;
  // Gives the oldest chain taken back with so many bytes written to its writable pieces.
  void give(const Chain& chain, uint32_t written) noexcept {
    visit([&](auto& ring) { ring.give(*memory_, chain, written); });
  }
  // Gives `count` chains of the batch back from `first` on, which must be the oldest ones taken; nothing was written.
  void give_read(const ChainBatch& batch, size_t first, size_t count) noexcept {
    visit([&](auto& ring) { ring.give_read(*memory_, batch, first, count); });
  }
  // Ends a round. True: the driver wants to be notified of what was given back.
  [[nodiscard]] bool finish() noexcept;

  // Asks the driver to kick when it makes chains available behind those taken; true when there are some already. Before
  // finish(), or with nothing taken.
  [[nodiscard]] bool arm() noexcept;
  // Asks it not to.
  void disarm() noexcept;

 private:
  RingFault locate(RingParts& parts, RingLog& log) const noexcept;
  bool place() noexcept;
  // False when there is nothing to work on. Follows the memory when its regions changed.
  bool ready() noexcept;

  const guest::GuestMemory* memory_ = nullptr;
  RingSetup setup_;
  RingFault fault_ = RingFault::kNone, waits_for_ = RingFault::kNone;
  bool placed_ = false;       // the ring's pointers are good, as of generation_
  bool placed_once_ = false;  // so that it has a position of its own
  uint64_t taken_ = 0;
  uint32_t generation_ = 0;
  bool logging_ = false;
  bool packed_ = false;
  std::variant<SplitRing, PackedRing> ring_;
};

}  // namespace unetmap::virtio
