// SPDX-License-Identifier: BSD-2-Clause
// A split virtqueue (virtio 1.2, 2.7), from the driver's side.
#pragma once

#include <span>

#include "driver/virtio_net/vring.hh"

namespace unetmap::driver {

class SplitVring {
 public:
  static constexpr bool kPacked = false;
  SplitVring(const VringPages& pages, uint32_t size, bool event_index)
      : pages_(pages), size_(size), mask_(size - 1), event_index_(event_index) {
    words::store16(pages_.driver, kNoInterrupt);
  }

  // A chain, whose segments the device writes to from `first_write` on; of each the descriptor of that number. Returns
  // the count behind it; the device sees it when that is published.
  uint16_t describe(uint16_t count, std::span<const Segment> segments, const uint32_t* ids, size_t first_write) {
    for (size_t i = 0; i < segments.size(); i++) {
      const bool more = i + 1 < segments.size();
      const auto flags = uint16_t((i >= first_write ? kWrite : 0) | (more ? kNext : 0));
      uint8_t* at = pages_.descriptors + 16 * ids[i];
      words::store64(at, segments[i].address);
      words::store64(at + 8, segments[i].bytes | uint64_t{flags} << 32 | uint64_t{more ? ids[i + 1] : 0} << 48);
    }
    words::store16(pages_.driver + 4 + 2 * (count & mask_), uint16_t(ids[0]));
    return uint16_t(count + 1);
  }
  void publish(uint16_t, uint16_t count) { words::store16(pages_.driver + 2, count); }
  // Whether what `count` stands behind has been, where either that or `before` was the last.
  [[nodiscard]] bool published(uint16_t, uint16_t count) const { return words::load16(pages_.driver + 2) == count; }
  // What was described from `count` on and not published.
  void forget(uint16_t, uint32_t) {}

  // How many elements from `count` on are used, more than `most` if that cannot be.
  [[nodiscard]] uint32_t ready(uint16_t count, uint32_t) const {
    return uint16_t(words::load16(pages_.device + 2) - count);
  }
  [[nodiscard]] UsedElement used(uint16_t count) const {
    const uint8_t* at = pages_.device + 4 + 8 * (count & mask_);
    return {words::load32(at), words::load32(at + 4)};
  }

  // True if the device is to be told of what was made available since `before`.
  [[nodiscard]] bool wants_notification(uint16_t before, uint16_t now) const {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (event_index_) return passed(words::load16(pages_.device + 4 + 8 * size_), before, now);
    return !(words::load16(pages_.device) & kNoNotify);
  }
  // No interrupts: not before the used index has come around to where `seen` was.
  void keep_quiet(uint16_t seen) {
    if (event_index_)
      words::store16(pages_.driver + 4 + 2 * size_, uint16_t(seen - 1));
    else if (words::load16(pages_.driver) != kNoInterrupt)
      words::store16(pages_.driver, kNoInterrupt);
  }
  // An interrupt when the element `count` is used, until the next keep_quiet(). Another look has to follow.
  static void ask(const VringPages& pages, uint32_t size, bool event_index, uint16_t count) {
    if (event_index)
      words::store16(pages.driver + 4 + 2 * size, count);
    else
      words::store16(pages.driver, 0);
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }

 private:
  static constexpr uint16_t kNext = 1, kWrite = 2;            // flags of a descriptor
  static constexpr uint16_t kNoInterrupt = 1, kNoNotify = 1;  // of the available and the used ring
  VringPages pages_;
  uint32_t size_, mask_;  // a power of two
  bool event_index_;
};

}  // namespace unetmap::driver
