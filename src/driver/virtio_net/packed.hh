// SPDX-License-Identifier: BSD-2-Clause
// A packed virtqueue (virtio 1.2, 2.8), from the driver's side. The wrap counter of a place is the parity of the lap.
#pragma once

#include <span>

#include "driver/virtio_net/vring.hh"

namespace unetmap::driver {

class PackedVring {
 public:
  static constexpr bool kPacked = true;
  PackedVring(const VringPages& pages, uint32_t size, bool event_index)
      : pages_(pages), size_(size), mask_(size - 1), event_index_(event_index) {
    words::store16(pages_.driver + 2, kDisable);
  }

  // A chain of consecutive places, called by the first of the numbers; its segments from `first_write` on
  // are the device's to write. Returns the count behind it; the device sees it
  // when that is published.
  uint16_t describe(uint16_t count, std::span<const Segment> segments, const uint32_t* ids, size_t first_write) {
    for (size_t i = segments.size(); i-- > 0;) {
      const auto here = uint16_t(count + i);
      uint8_t* at = place(here);
      words::store64(at, segments[i].address);
      const auto flags =
          uint16_t((i >= first_write ? kWrite : 0) | (i + 1 < segments.size() ? kNext : 0) | available(here));
      // The flags of the first one stay as they are: by them the chain is seen.
      if (i > 0) {
        words::store64(at + 8, segments[i].bytes | uint64_t{ids[0]} << 32 | uint64_t{flags} << 48);
      } else {
        first_flags_ = flags;
        __atomic_store_n(reinterpret_cast<uint32_t*>(at + 8), segments[i].bytes, __ATOMIC_RELAXED);
        __atomic_store_n(reinterpret_cast<uint16_t*>(at + 12), uint16_t(ids[0]), __ATOMIC_RELAXED);
      }
    }
    return uint16_t(count + segments.size());
  }
  // The chain that was described last, and begins at `first`.
  void publish(uint16_t first, uint16_t) { words::store16(place(first) + 14, first_flags_); }
  [[nodiscard]] bool published(uint16_t first, uint16_t count) const {
    return first == count || !((words::load16(place(first) + 14) ^ available(first)) & kAvailable);
  }
  // Places from `count` on, which would be looked at as soon as those before them are.
  void forget(uint16_t count, uint32_t places) {
    for (uint32_t i = 0; i < places; i++) {
      const auto at = uint16_t(count + i);
      words::store16(place(at) + 14, wrap(at) ? 0 : kAvailable | kUsed);
    }
  }

  [[nodiscard]] uint32_t ready(uint16_t count, uint32_t most) const {
    uint32_t n = 0;
    while (n < most && is_used(uint16_t(count + n))) n++;
    return n;
  }
  [[nodiscard]] bool is_used(uint16_t count) const {
    const uint16_t flags = words::load16(place(count) + 14), wanted = wrap(count) ? kAvailable | kUsed : 0;
    return (flags & (kAvailable | kUsed)) == wanted;
  }
  [[nodiscard]] UsedElement used(uint16_t count) const {
    const uint8_t* at = place(count);
    return {words::load32(at + 12) & 0xffff, words::load32(at + 8)};
  }

  [[nodiscard]] bool wants_notification(uint16_t before, uint16_t now) const {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    const uint32_t word = words::load32(pages_.device);
    const uint32_t when = word >> 16 & 3;
    if (when != kAtPlace || !event_index_) return when != kDisable;
    // The place, as a count of this lap or the one before.
    const auto lap = uint16_t(now & ~mask_);
    auto event = uint16_t(lap + (word & 0x7fff));
    if (((word >> 15 & 1) != 0) != wrap(now)) event = uint16_t(event - size_);
    return passed(event, before, now);
  }
  void keep_quiet(uint16_t) {
    if (words::load16(pages_.driver + 2) != kDisable) words::store16(pages_.driver + 2, kDisable);
  }
  // An interrupt at the next element that is used, until the next keep_quiet(). Another look has to follow.
  static void ask(const VringPages& pages, uint32_t, bool, uint16_t) {
    words::store16(pages.driver + 2, 0);
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }

 private:
  static constexpr uint16_t kNext = 1, kWrite = 2, kAvailable = 1 << 7, kUsed = 1 << 15;  // flags of a descriptor
  static constexpr uint16_t kDisable = 1, kAtPlace = 2;                                   // notifications
  uint8_t* place(uint16_t count) const { return pages_.descriptors + 16 * (count & mask_); }
  bool wrap(uint16_t count) const { return !(count & size_); }
  uint16_t available(uint16_t count) const { return wrap(count) ? kAvailable : kUsed; }
  VringPages pages_;
  uint32_t size_, mask_;  // a power of two
  bool event_index_;
  uint16_t first_flags_ = 0;
};

}  // namespace unetmap::driver
