// SPDX-License-Identifier: BSD-2-Clause
// Descriptors go out again in the order in which they came back: the n-th one used is the one that is given at the
// place n + descriptors.
#include <cstring>

#include "driver/virtio_net/packed.hh"
#include "driver/virtio_net/rings.hh"
#include "driver/virtio_net/split.hh"
#include "vale/slot.hh"

namespace unetmap::driver {
namespace {

constexpr uint32_t kCountAt = 10;  // of the header: how many buffers a packet has, where they are mergeable

template <class Vring>
class VirtioRx final : public RxQueue {
 public:
  VirtioRx(Registers& registers, Shared& shared, uint32_t pair, const VringPages& pages, const Ring& ring)
      : registers_(registers),
        shared_(shared),
        state_(shared.pairs[pair].rx),
        pair_(pair),
        size_(ring_size(shared)),
        mask_(size_ - 1),
        mergeable_(shared.virtio_ways & kMergeableBuffers),
        vring_(pages, size_, shared.virtio_ways & kEventIndex),
        slots_(ring, state_) {
    vring_.keep_quiet(uint16_t(state_.taken.load(std::memory_order_relaxed)));
  }
  void sync(Tally& tally, uint32_t head, uint32_t& hwtail, bool recover) override;

 private:
  // A packet: its elements_.
  struct Arrival {
    uint32_t count = 1;
    bool good = true;
  };
  void notify() { registers_.write(shared_.pairs[pair_].rx_notify, rx_queue_number(pair_), 2); }
  void recover();
  void give(Tally& tally, uint32_t head);
  uint32_t take(Tally& tally, uint32_t hwtail, uint32_t head, bool recovering);
  uint32_t buffer_of(const UsedElement& element) const {
    return element.id < size_ ? state_.posted[element.id].load(std::memory_order_relaxed) : 0;
  }
  Arrival look(uint16_t used, uint32_t ready, uint32_t given);
  bool show(const Arrival& arrival, uint32_t at, uint32_t end, uint16_t flags, uint64_t& bytes);
  bool was_moving(uint16_t used, uint32_t ready) const;

  Registers& registers_;
  Shared& shared_;
  RxState& state_;
  const uint32_t pair_, size_, mask_;
  const bool mergeable_;
  Vring vring_;
  RxSlots slots_;
  UsedElement elements_[kMostDescriptors];  // of the packet in hand, loaded once
};

// All that the device may have: up to the slot before `head`, which stays empty.
template <class Vring>
void VirtioRx<Vring>::give(Tally& tally, uint32_t head) {
  const Ring& ring = slots_.ring();
  const uint64_t given = state_.given.load(std::memory_order_relaxed);
  const auto first = uint16_t(given), used = uint16_t(state_.taken.load(std::memory_order_relaxed));
  uint16_t available = first;
  uint32_t at = uint32_t(given >> 32);
  const uint32_t end = ring.before(head);
  // What follows the first buffer of a packet has no header, and is moved to where a slot begins.
  const uint32_t bytes = ring.memory.room() + (mergeable_ ? 0 : kVirtioHeader);
  if (at >= ring.num_slots) at = end;
  for (; at != end && uint16_t(available - used) < size_; at = ring.next(at)) {
    const uint32_t buffer = vale::load_buffer(ring.slots[at]);
    // A slot without a buffer that can be is left out; the ring has one slot less then.
    const Segment segment{ring.memory.holds(buffer) ? ring.memory.device_address(buffer, -int64_t{kVirtioHeader}) : 0,
                          bytes};
    if (segment.address == 0) {
      tally.corrupt++;
      continue;
    }
    const uint32_t id = state_.ids[available & mask_].load(std::memory_order_relaxed) & mask_;
    const uint16_t next = vring_.describe(available, {&segment, 1}, &id, 0);
    state_.posted[id].store(buffer + 1, std::memory_order_relaxed);
    if (Vring::kPacked) {
      state_.giving.store(pack(next, ring.next(at)), std::memory_order_release);
      vring_.publish(available, next);
      state_.given.store(pack(next, ring.next(at)), std::memory_order_release);
    }
    available = next;
  }
  state_.giving.store(pack(available, at), std::memory_order_release);
  if (available != first) {
    if (!Vring::kPacked) vring_.publish(first, available);
    if (vring_.wants_notification(first, available)) notify();
  }
  state_.given.store(pack(available, at), std::memory_order_release);
}

// How many buffers the packet has that begins here. One that cannot be is one by itself.
template <class Vring>
auto VirtioRx<Vring>::look(uint16_t used, uint32_t ready, uint32_t given) -> Arrival {
  elements_[0] = vring_.used(used);
  const uint32_t buffer = buffer_of(elements_[0]);
  if (!mergeable_ || buffer == 0) return {};
  const uint32_t count = words::load16(slots_.ring().memory.at(buffer - 1) - kVirtioHeader + kCountAt);
  if (count == 0 || count > given || count >= slots_.ring().num_slots) return {1, false};
  for (uint32_t i = 1; i < count && i < ready; i++) elements_[i] = vring_.used(uint16_t(used + i));
  return {count, true};
}

// False: not all of its buffers are shown, and none counts.
template <class Vring>
bool VirtioRx<Vring>::show(const Arrival& arrival, uint32_t at, uint32_t end, uint16_t flags, uint64_t& bytes) {
  const BufferMemory& memory = slots_.ring().memory;
  bytes = 0;
  for (uint32_t i = 0; i < arrival.count; i++, at = slots_.ring().next(at)) {
    const uint32_t buffer = buffer_of(elements_[i]), header = i == 0 ? kVirtioHeader : 0;
    if (buffer == 0 || elements_[i].len <= header || elements_[i].len - header > memory.room()) return false;
    const uint32_t len = elements_[i].len - header;
    if (!slots_.show(at, end, buffer - 1, len, uint16_t(flags | (i + 1 < arrival.count ? NS_MOREFRAG : 0))))
      return false;
    if (i > 0) memmove(memory.at(buffer - 1), memory.at(buffer - 1) - kVirtioHeader, len);
    bytes += len;
  }
  return true;
}

// Whether a process died while it moved the parts of this packet, or had: which of them, nobody knows.
template <class Vring>
bool VirtioRx<Vring>::was_moving(uint16_t used, uint32_t ready) const {
  const uint32_t moving = state_.moving.load(std::memory_order_acquire);
  return moving != 0 && uint16_t(moving - 1 - used) < ready;
}

template <class Vring>
uint32_t VirtioRx<Vring>::take(Tally& tally, uint32_t hwtail, uint32_t head, bool recovering) {
  const Ring& ring = slots_.ring();
  const uint64_t taken = state_.taken.load(std::memory_order_relaxed);
  const uint32_t end = ring.before(head);
  const auto first = uint16_t(taken);
  const auto given = uint16_t(uint16_t(state_.given.load(std::memory_order_relaxed)) - first);
  const uint32_t count = vring_.ready(first, given);
  uint32_t at = recovering ? uint32_t(taken >> 32) % ring.num_slots : hwtail;
  if (count > given) {
    tally.corrupt++;
    return at;
  }
  uint16_t used = first;
  for (uint32_t left = count; left > 0 && at != end;) {
    Arrival arrival = look(used, left, uint16_t(given - (used - first)));
    // Nothing that it ever had: the ring stands from here on.
    if (buffer_of(elements_[0]) == 0) {
      tally.corrupt++;
      break;
    }
    if (arrival.count > left || arrival.count > ring.distance(at, end)) break;  // not yet
    if (arrival.count > 1) {
      if (recovering && was_moving(used, left)) arrival.good = false;
      state_.moving.store(used + 1u, std::memory_order_release);
    }
    uint64_t bytes = 0;
    const bool good =
        arrival.good && show(arrival, at, end, recovering ? uint16_t{NS_BUF_CHANGED} : uint16_t{0}, bytes);
    for (uint32_t i = 0; i < arrival.count; i++, used++)
      state_.ids[used & mask_].store(elements_[i].id & mask_, std::memory_order_relaxed);
    left -= arrival.count;
    if (!good) {
      tally.corrupt++;
      continue;
    }
    tally.packets++;
    tally.bytes += bytes;
    at = ring.behind(at, arrival.count);
  }
  state_.taken.store(pack(used, at), std::memory_order_release);
  if (mergeable_) state_.moving.store(0, std::memory_order_release);
  for (uint16_t i = first; i != used; i++)
    state_.posted[state_.ids[i & mask_].load(std::memory_order_relaxed) & mask_].store(0, std::memory_order_relaxed);
  if (used != first) vring_.keep_quiet(used);
  return at;
}

template <class Vring>
void VirtioRx<Vring>::recover() {
  slots_.recover();
  const uint64_t giving = state_.giving.load(std::memory_order_acquire);
  const auto given = uint16_t(state_.given.load(std::memory_order_relaxed));
  if (vring_.published(given, uint16_t(giving))) state_.given.store(giving, std::memory_order_release);
  // The device may not have been told.
  notify();
}

template <class Vring>
void VirtioRx<Vring>::sync(Tally& tally, uint32_t head, uint32_t& hwtail, bool recovering) {
  if (recovering) [[unlikely]]
    recover();
  give(tally, head);
  hwtail = take(tally, hwtail, head, recovering);
}

}  // namespace

std::unique_ptr<RxQueue> virtio_rx(Registers& registers, Shared& shared, uint32_t pair, const VringPages& pages,
                                   const Ring& ring) {
  if (shared.virtio_ways & kPackedRings)
    return std::make_unique<VirtioRx<PackedVring>>(registers, shared, pair, pages, ring);
  return std::make_unique<VirtioRx<SplitVring>>(registers, shared, pair, pages, ring);
}

}  // namespace unetmap::driver
