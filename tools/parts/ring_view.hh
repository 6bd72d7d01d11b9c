// SPDX-License-Identifier: BSD-2-Clause
// A netmap ring seen with care. The region is shared: other programs may write any of it at any time, so geometry is
// copied once at open, head and cur are kept here, and tail and slots are loaded once and checked before use.
// By compiler's builtins: std::atomic_ref is not in FreeBSD's library.
#pragma once

#include <net/netmap.h>

#include <cstddef>
#include <cstdint>

namespace unetmap::parts {

/// What was read of a slot, in one pass.
struct SlotCopy {
  uint32_t buf_idx;
  uint16_t len;
  uint16_t flags;
};

class RingView {
 public:
  /// `region_end` is one past the mapped region; the ring and the region must outlive the view.
  RingView(netmap_ring* ring, const char* region_end)
      : ring_(ring),
        buffers_(reinterpret_cast<char*>(ring) + ring->buf_ofs),
        num_slots_(ring->num_slots),
        buf_size_(ring->nr_buf_size),
        offset_mask_(ring->offset_mask) {
    const ptrdiff_t room = region_end - buffers_;
    buffer_count_ = room > 0 && buf_size_ ? static_cast<uint64_t>(room) / buf_size_ : 0;
    reload();
  }

  uint32_t num_slots() const { return num_slots_; }
  uint32_t buf_size() const { return buf_size_; }
  uint32_t head() const { return head_; }
  uint64_t offset_mask() const { return offset_mask_; }
  uint32_t next(uint32_t index) const { return index + 1 == num_slots_ ? 0 : index + 1; }

  /// Slots that are ours; none while tail makes no sense. Acquire: slots before tail were written before it.
  uint32_t space() const {
    const uint32_t tail = __atomic_load_n(&ring_->tail, __ATOMIC_ACQUIRE);
    if (tail >= num_slots_) return 0;
    return tail >= head_ ? tail - head_ : tail + num_slots_ - head_;
  }

  /// Whether there are more slots than were found too few by want_more().
  bool ready() const { return space() > too_few_; }

  /// Of a transmit ring: whether slots that were handed over are not through yet. An idle ring has all but one.
  bool pending() const { return space() + 1 < num_slots_; }

  SlotCopy load(uint32_t index) const {
    const netmap_slot& slot = ring_->slot[index];
    return {__atomic_load_n(&slot.buf_idx, __ATOMIC_RELAXED), __atomic_load_n(&slot.len, __ATOMIC_RELAXED),
            __atomic_load_n(&slot.flags, __ATOMIC_RELAXED)};
  }

  /// Of a receive ring: microseconds of CLOCK_REALTIME when what the last sync brought began to come.
  uint64_t stamp_us() const {
    return uint64_t(__atomic_load_n(&ring_->ts.tv_sec, __ATOMIC_RELAXED)) * 1'000'000 +
           uint64_t(__atomic_load_n(&ring_->ts.tv_usec, __ATOMIC_RELAXED));
  }

  /// Where a slot's data starts, from the start of its buffer.
  uint64_t offset(uint32_t index) const {
    return offset_mask_ ? __atomic_load_n(&ring_->slot[index].ptr, __ATOMIC_RELAXED) & offset_mask_ : 0;
  }

  /// Our slot, to be written.
  netmap_slot& slot(uint32_t index) { return ring_->slot[index]; }

  /// Buffers 0 and 1 never belong to a slot.
  bool valid_buffer(uint32_t buf_idx) const { return buf_idx >= 2 && buf_idx < buffer_count_; }
  char* buffer(uint32_t buf_idx) const { return buffers_ + static_cast<uint64_t>(buf_idx) * buf_size_; }

  /// Takes slots into use; the ring learns of it by publish().
  void skip(uint32_t slots) {
    const uint32_t moved = head_ + slots;
    head_ = moved >= num_slots_ ? moved - num_slots_ : moved;
  }

  /// Hands the slots before head over. Release: what was written in them comes first.
  void publish() {
    too_few_ = 0;
    __atomic_store_n(&ring_->cur, head_, __ATOMIC_RELAXED);
    __atomic_store_n(&ring_->head, head_, __ATOMIC_RELEASE);
  }

  /// After publish(): `slots` do not suffice, so cur at the end of them makes poll wait for more. To be given as they
  /// were found: where another thread syncs the ring, too, tail may have moved on since, and nothing comes behind it.
  void want_more(uint32_t slots) {
    too_few_ = slots;
    const uint32_t cur = head_ + slots;
    __atomic_store_n(&ring_->cur, cur >= num_slots_ ? cur - num_slots_ : cur, __ATOMIC_RELAXED);
  }

  /// Takes up where the ring was set after an error.
  void reload() {
    const uint32_t head = __atomic_load_n(&ring_->head, __ATOMIC_ACQUIRE);
    head_ = head < num_slots_ ? head : 0;
    too_few_ = 0;
  }

 private:
  netmap_ring* ring_;
  char* buffers_;
  uint32_t num_slots_;
  uint32_t buf_size_;
  uint64_t offset_mask_;
  uint64_t buffer_count_ = 0;
  uint32_t head_ = 0;
  uint32_t too_few_ = 0;
};

}  // namespace unetmap::parts
