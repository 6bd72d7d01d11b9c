// SPDX-License-Identifier: BSD-2-Clause
#include "driver/virtio_net/packed.hh"
#include "driver/virtio_net/rings.hh"
#include "driver/virtio_net/split.hh"

namespace unetmap::driver {
namespace {

template <class Vring>
void ask(const Shared& shared, const PairState& state, const VringPages& tx, const VringPages& rx, bool in, bool out) {
  const bool event_index = shared.virtio_ways & kEventIndex;
  if (in) Vring::ask(rx, ring_size(shared), event_index, uint16_t(state.rx.taken.load(std::memory_order_relaxed)));
  if (!out) return;
  // Half of what is under way, so that a sender is not woken for each packet.
  const auto used = uint16_t(state.tx.used.load(std::memory_order_relaxed)),
             available = uint16_t(state.tx.step.load(std::memory_order_relaxed));
  Vring::ask(tx, ring_size(shared), event_index, uint16_t(used + uint16_t(available - used) / 2));
}

}  // namespace

void virtio_ask(Registers& registers, Shared& shared, uint32_t pair, const VringPages& tx, const VringPages& rx,
                bool in, bool out) {
  // A line is released first: what happens from now on asserts it anew.
  if (is_line(shared.interrupts) && shared.isr_at != 0) (void)registers.read(shared.isr_at, 1);
  if (shared.virtio_ways & kPackedRings)
    ask<PackedVring>(shared, shared.pairs[pair], tx, rx, in, out);
  else
    ask<SplitVring>(shared, shared.pairs[pair], tx, rx, in, out);
}

}  // namespace unetmap::driver
