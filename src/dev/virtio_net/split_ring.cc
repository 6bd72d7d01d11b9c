// SPDX-License-Identifier: BSD-2-Clause
#include "dev/virtio_net/split_ring.hh"

#include <algorithm>

#include "base/atomic.hh"
#include "dev/virtio_net/descriptor.hh"

namespace unetmap::virtio {
namespace {

// Both rings: flags, index, entries; behind the entries the event word.
constexpr size_t kFlagsAt = 0, kIndexAt = 2, kEntriesAt = 4, kUsedEntryBytes = 8;
constexpr uint16_t kNoInterrupt = 1;  // available flags
constexpr uint16_t kNoNotify = 1;     // used flags

}  // namespace

void SplitRing::start(uint32_t, uint32_t size, RingOptions options, RingParts parts, RingLog log) noexcept {
  size_ = size;
  mask_ = static_cast<uint16_t>(size - 1);
  options_ = options;
  move(parts, log);
  published_ = load_acquire16(parts_.device + kIndexAt);
  next_ = used_ = available_ = called_ = published_;
  called_known_ = false;
}

RingFault SplitRing::take(const guest::GuestMemory& memory, ChainBatch& batch, size_t count) noexcept {
  count = std::min(count, batch.room());
  if (static_cast<uint16_t>(available_ - next_) < count) {
    // Acquire: what the driver wrote before it moved the index is seen below.
    available_ = load_acquire16(parts_.driver + kIndexAt);
    if (static_cast<uint16_t>(available_ - used_) > size_) return RingFault::kAvailableIndex;
  }
  count = std::min<size_t>(count, static_cast<uint16_t>(available_ - next_));
  uint16_t heads[kMaxChains];
  for (size_t i = 0; i < count; i++) {
    heads[i] = load_once<uint16_t>(parts_.driver + kEntriesAt + ((next_ + i) & mask_) * size_t{2});
    if (heads[i] >= size_) [[unlikely]]
      return RingFault::kHead;
    __builtin_prefetch(parts_.descriptors + heads[i] * kDescriptorBytes);
  }
  for (size_t i = 0; i < count; i++) {
    const SplitDescriptor first = SplitDescriptor::load(parts_.descriptors + heads[i] * kDescriptorBytes);
    if (!(first.flags & (kDescNext | kDescIndirect)) &&
        batch.add_plain(memory, first.address, first.bytes, first.flags & kDescWrite, heads[i])) [[likely]] {
      next_++;
      continue;
    }
    RingFault fault = RingFault::kNone;
    const auto step = walk(memory, batch, heads[i], first, fault);
    if (step == ChainBuilder::Step::kFault) [[unlikely]]
      return fault;
    if (step == ChainBuilder::Step::kFull) break;
    next_++;
  }
  return RingFault::kNone;
}

ChainBuilder::Step SplitRing::walk(const guest::GuestMemory& memory, ChainBatch& batch, uint16_t head,
                                   SplitDescriptor entry, RingFault& fault) noexcept {
  using Step = ChainBuilder::Step;
  ChainBuilder chain(memory, batch);
  auto failed = [&](RingFault why) {
    fault = why;
    return Step::kFault;
  };
  for (uint32_t taken = 1;; taken++) {
    Step step;
    if (entry.flags & kDescIndirect) {
      if (!options_.indirect) return failed(RingFault::kIndirectNotAgreed);
      if (entry.flags & kDescNext) return failed(RingFault::kIndirectFlags);
      step = chain.add_table(entry.address, entry.bytes, true);
    } else {
      step = chain.add(entry.address, entry.bytes, entry.flags & kDescWrite);
    }
    if (step == Step::kFault) return failed(chain.fault());
    if (step == Step::kFull) return step;
    if (!(entry.flags & kDescNext)) {
      chain.commit(head, static_cast<uint16_t>(std::min<uint32_t>(taken, UINT16_MAX)));
      return Step::kDone;
    }
    if (taken >= size_) return failed(RingFault::kLoop);
    if (entry.next >= size_) return failed(RingFault::kNext);
    entry = SplitDescriptor::load(parts_.descriptors + entry.next * kDescriptorBytes);
  }
}

void SplitRing::put(uint16_t at, uint16_t id, uint32_t written) noexcept {
  uint8_t* const entry = parts_.device + kEntriesAt + (at & mask_) * kUsedEntryBytes;
  store_relaxed32(entry, id);
  store_relaxed32(entry + 4, written);
}

void SplitRing::give(const guest::GuestMemory&, const Chain& chain, uint32_t written) noexcept {
  put(used_++, chain.id, written);
}

void SplitRing::give_read(const guest::GuestMemory&, const ChainBatch& batch, size_t first, size_t count) noexcept {
  if (count == 0) return;
  if (options_.in_order) {
    // One entry in the first one's place stands for all up to the chain it names (2.7.9).
    put(used_, batch[first + count - 1].id, 0);
    used_ = static_cast<uint16_t>(used_ + count);
    return;
  }
  for (size_t i = 0; i < count; i++) put(used_++, batch[first + i].id, 0);
}

void SplitRing::publish(const guest::GuestMemory& memory) noexcept {
  if (used_ == published_) return;
  // Release: the entries, and what we wrote to the buffers, before the index.
  store_release16(parts_.device + kIndexAt, used_);
  if (log_.on) [[unlikely]] {
    for (uint16_t at = published_; at != used_; at++) {
      written(memory, kEntriesAt + (at & mask_) * kUsedEntryBytes, kUsedEntryBytes);
    }
    written(memory, kIndexAt, 2);
  }
  published_ = used_;
}

bool SplitRing::call_wanted() noexcept {
  if (called_ == published_) return false;
  const uint16_t before = called_;
  const bool known = called_known_;
  called_ = published_;
  called_known_ = true;
  // Pairs with the driver's fence between asking for a notification and looking at the used index.
  full_fence();
  if (!options_.event_idx) return !(load_once<uint16_t>(parts_.driver + kFlagsAt) & kNoInterrupt);
  // The first time after a start nobody knows what the driver has seen: better one too many.
  return !known || passes(load_once<uint16_t>(parts_.driver + kEntriesAt + size_ * size_t{2}), published_, before);
}

// With event indexes: the position that it named is behind us, by no more than a ring.
bool SplitRing::call_overdue() const noexcept {
  full_fence();
  if (!options_.event_idx) return !(load_once<uint16_t>(parts_.driver + kFlagsAt) & kNoInterrupt);
  const auto event = load_once<uint16_t>(parts_.driver + kEntriesAt + size_ * size_t{2});
  return static_cast<uint16_t>(published_ - event - 1) < size_;
}

bool SplitRing::arm(const guest::GuestMemory& memory) noexcept {
  if (options_.event_idx) {
    const size_t at = kEntriesAt + size_ * kUsedEntryBytes;
    store_relaxed16(parts_.device + at, next_);
    written(memory, at, 2);
  } else {
    store_relaxed16(parts_.device + kFlagsAt, 0);
    written(memory, kFlagsAt, 2);
  }
  // Pairs with the driver's fence between its available index and looking whether to kick.
  full_fence();
  return load_acquire16(parts_.driver + kIndexAt) != next_;
}

void SplitRing::disarm(const guest::GuestMemory& memory) noexcept {
  // With event indexes the last position asked for is behind us: the next kick comes in 2^16 chains.
  if (options_.event_idx) return;
  store_relaxed16(parts_.device + kFlagsAt, kNoNotify);
  written(memory, kFlagsAt, 2);
}

}  // namespace unetmap::virtio
