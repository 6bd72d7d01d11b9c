// SPDX-License-Identifier: BSD-2-Clause
#include "dev/virtio_net/packed_ring.hh"

#include <algorithm>

#include "base/atomic.hh"
#include "dev/virtio_net/descriptor.hh"

namespace unetmap::virtio {
namespace {

constexpr size_t kBytesAt = 8, kIdAt = 12, kFlagsAt = 14;  // in a descriptor
constexpr size_t kEventPositionAt = 0, kEventFlagsAt = 2;  // in an event suppression structure (2.8.14)
constexpr uint16_t kEventsOn = 0, kEventsOff = 1, kEventsAtPosition = 2, kEventsMask = 3;
constexpr uint16_t kWrapBit = 1 << 15;

}  // namespace

void PackedRing::start(uint32_t position, uint32_t size, RingOptions options, RingParts parts, RingLog log) noexcept {
  size_ = size;
  options_ = options;
  move(parts, log);
  next_.slot = static_cast<uint16_t>((position & 0x7fff) % size);
  // User Mode Linux says 0 for a new ring of either layout, where this one's wrap counter begins with 1. A ring that
  // came to where 0 really is has entries that were given back.
  next_.wrap = (position & kWrapBit) != 0 || (next_.slot == 0 && !any_used());
  used_ = called_ = next_;
  taken_ = 0;
  unpublished_ = called_known_ = false;
}

uint32_t PackedRing::position() const noexcept {
  const uint32_t half = used_.slot | (used_.wrap ? kWrapBit : 0u);
  return half | half << 16;
}

bool PackedRing::any_used() const noexcept {
  for (uint32_t i = 0; i < size_; i++)
    if (load_acquire16(slot(i) + kFlagsAt) & kDescUsed) return true;
  return false;
}

bool PackedRing::is_available(uint16_t flags, bool wrap) noexcept {
  return ((flags & kDescAvail) != 0) == wrap && ((flags & kDescUsed) != 0) != wrap;
}

RingFault PackedRing::take(const guest::GuestMemory& memory, ChainBatch& batch, size_t count) noexcept {
  count = std::min(count, batch.room());
  for (size_t i = 0; i < count && taken_ < size_; i++) {
    // Acquire: what the driver wrote before these flags is seen below; it writes those of a chain's first last.
    const uint16_t flags = load_acquire16(slot(next_.slot) + kFlagsAt);
    if (!is_available(flags, next_.wrap)) break;
    if (!(flags & (kDescNext | kDescIndirect))) [[likely]] {
      const PackedDescriptor entry = PackedDescriptor::load(slot(next_.slot));
      if (batch.add_plain(memory, entry.address, entry.bytes, flags & kDescWrite, entry.id)) [[likely]] {
        next_.advance(1, size_);
        taken_++;
        continue;
      }
    }
    RingFault fault = RingFault::kNone;
    const auto step = walk(memory, batch, flags, fault);
    if (step == ChainBuilder::Step::kFault) [[unlikely]]
      return fault;
    if (step == ChainBuilder::Step::kFull) break;
  }
  return RingFault::kNone;
}

// `flags` are the first descriptor's; those in the copy loaded here may be others by now, so are not looked at.
ChainBuilder::Step PackedRing::walk(const guest::GuestMemory& memory, ChainBatch& batch, uint16_t flags,
                                    RingFault& fault) noexcept {
  using Step = ChainBuilder::Step;
  ChainBuilder chain(memory, batch);
  auto failed = [&](RingFault why) {
    fault = why;
    return Step::kFault;
  };
  uint32_t at = next_.slot;
  for (uint32_t taken = 1;; taken++) {
    const PackedDescriptor entry = PackedDescriptor::load(slot(at));
    if (taken > 1) flags = entry.flags;
    Step step;
    if (flags & kDescIndirect) {
      if (!options_.indirect) return failed(RingFault::kIndirectNotAgreed);
      if (taken > 1 || (flags & kDescNext)) return failed(RingFault::kIndirectFlags);
      step = chain.add_table(entry.address, entry.bytes, false);
    } else {
      step = chain.add(entry.address, entry.bytes, flags & kDescWrite);
    }
    if (step == Step::kFault) return failed(chain.fault());
    if (step == Step::kFull) return step;
    if (!(flags & kDescNext)) {
      // The last descriptor carries the identifier (2.8.6).
      chain.commit(entry.id, static_cast<uint16_t>(taken));
      next_.advance(taken, size_);
      taken_ += taken;
      return Step::kDone;
    }
    if (taken_ + taken >= size_) return failed(RingFault::kLoop);
    at = at + 1 == size_ ? 0 : at + 1;
  }
}

// A used entry where the chain began. The driver looks at one entry after the other, so the flags of all but the first
// unpublished one can be written at once.
void PackedRing::put(const guest::GuestMemory& memory, uint16_t id, uint32_t written, uint32_t descriptors) noexcept {
  uint8_t* const entry = slot(used_.slot);
  uint16_t flags = used_.wrap ? kDescAvail | kDescUsed : 0;
  if (written > 0) flags |= kDescWrite;
  store_relaxed32(entry + kBytesAt, written);
  store_relaxed16(entry + kIdAt, id);
  if (unpublished_) {
    store_relaxed16(entry + kFlagsAt, flags);
    if (log_.on) [[unlikely]]
      memory.written(log_.descriptors + used_.slot * kDescriptorBytes, kDescriptorBytes);
  } else {
    unpublished_ = true;
    first_ = used_;
    first_flags_ = flags;
  }
  used_.advance(descriptors, size_);
  taken_ -= descriptors;
}

void PackedRing::give(const guest::GuestMemory& memory, const Chain& chain, uint32_t written) noexcept {
  put(memory, chain.id, written, chain.descriptors);
}

void PackedRing::give_read(const guest::GuestMemory& memory, const ChainBatch& batch, size_t first,
                           size_t count) noexcept {
  if (count == 0) return;
  if (options_.in_order) {
    // One entry in the first one's place stands for all up to the chain it names (2.8.20).
    uint32_t descriptors = 0;
    for (size_t i = 0; i < count; i++) descriptors += batch[first + i].descriptors;
    put(memory, batch[first + count - 1].id, 0, descriptors);
    return;
  }
  for (size_t i = 0; i < count; i++) put(memory, batch[first + i].id, 0, batch[first + i].descriptors);
}

void PackedRing::publish(const guest::GuestMemory& memory) noexcept {
  if (!unpublished_) return;
  // Release: the other entries, and what we wrote to the buffers, before these flags.
  store_release16(slot(first_.slot) + kFlagsAt, first_flags_);
  if (log_.on) [[unlikely]]
    memory.written(log_.descriptors + first_.slot * kDescriptorBytes, kDescriptorBytes);
  unpublished_ = false;
}

bool PackedRing::call_wanted() noexcept {
  if (called_ == used_) return false;
  const Cursor before = called_;
  const bool known = called_known_;
  called_ = used_;
  called_known_ = true;
  // Pairs with the driver's fence between asking for a notification and looking at the next entry.
  full_fence();
  const auto event = load_once<uint32_t>(parts_.driver);
  const uint16_t flags = static_cast<uint16_t>(event >> 16) & kEventsMask;
  if (flags != kEventsAtPosition || !options_.event_idx) return flags != kEventsOff;
  // Positions on a line where now is on this lap, and what has the other wrap counter on the lap before.
  const auto size = static_cast<uint16_t>(size_);
  const auto lap = [&](uint16_t slot, bool wrap) {
    return static_cast<uint16_t>(wrap == used_.wrap ? slot : slot - size);
  };
  const uint16_t wanted = lap(event & 0x7fff, (event & kWrapBit) != 0);
  // The first time after a start nobody knows what the driver has seen: better one too many.
  return !known || passes(wanted, used_.slot, lap(before.slot, before.wrap));
}

// With a position asked for, one that was passed cannot be told from one that is to come.
bool PackedRing::call_overdue() const noexcept {
  full_fence();
  return (load_once<uint32_t>(parts_.driver) >> 16 & kEventsMask) != kEventsOff;
}

void PackedRing::set_event(const guest::GuestMemory& memory, uint16_t position, uint16_t flags) noexcept {
  if (flags == kEventsAtPosition) store_relaxed16(parts_.device + kEventPositionAt, position);
  // Release: a driver that sees these flags sees the position.
  store_release16(parts_.device + kEventFlagsAt, flags);
  if (log_.on) [[unlikely]]
    memory.written(log_.device, 4);
}

bool PackedRing::arm(const guest::GuestMemory& memory) noexcept {
  const auto here = static_cast<uint16_t>(next_.slot | (next_.wrap ? kWrapBit : 0u));
  set_event(memory, here, options_.event_idx ? kEventsAtPosition : kEventsOn);
  // Pairs with the driver's fence between making available and looking whether to kick.
  full_fence();
  return taken_ < size_ && is_available(load_acquire16(slot(next_.slot) + kFlagsAt), next_.wrap);
}

void PackedRing::disarm(const guest::GuestMemory& memory) noexcept { set_event(memory, 0, kEventsOff); }

}  // namespace unetmap::virtio
