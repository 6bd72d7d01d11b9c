// SPDX-License-Identifier: BSD-2-Clause
// The packed layout: virtio 1.2, section 2.8.
#pragma once

#include "dev/virtio_net/ring.hh"

namespace unetmap::virtio {

class PackedRing {
 public:
  static size_t descriptors_bytes(uint32_t size) noexcept { return size * size_t{16}; }
  static size_t driver_bytes(uint32_t, bool) noexcept { return 4; }
  static size_t device_bytes(uint32_t, bool) noexcept { return 4; }
  static bool size_is_good(uint32_t size) noexcept { return size > 0 && size <= kMaxQueueSize; }
  static constexpr size_t kDescriptorsAlign = 16, kDriverAlign = 4, kDeviceAlign = 4;

  // Bits 0-14 of the position: slot; bit 15: wrap counter. Bits 16-31 hold the same of the used side, which is no
  // different here.
  void start(uint32_t position, uint32_t size, RingOptions options, RingParts parts, RingLog log) noexcept;
  void move(RingParts parts, RingLog log) noexcept {
    parts_ = parts;
    log_ = log;
  }
  [[nodiscard]] uint32_t position() const noexcept;

  [[nodiscard]] RingFault take(const guest::GuestMemory& memory, ChainBatch& batch, size_t count) noexcept;
  void give(const guest::GuestMemory& memory, const Chain& chain, uint32_t written) noexcept;
  void give_read(const guest::GuestMemory& memory, const ChainBatch& batch, size_t first, size_t count) noexcept;
  void publish(const guest::GuestMemory& memory) noexcept;
  void rewind() noexcept {
    next_ = used_;
    taken_ = 0;
  }
  [[nodiscard]] bool call_wanted() noexcept;
  [[nodiscard]] bool call_overdue() const noexcept;
  [[nodiscard]] bool arm(const guest::GuestMemory& memory) noexcept;
  void disarm(const guest::GuestMemory& memory) noexcept;

 private:
  struct Cursor {
    uint16_t slot = 0;
    bool wrap = true;

    void advance(uint32_t by, uint32_t size) noexcept {
      const uint32_t to = slot + by;
      if (to >= size) wrap = !wrap;
      slot = static_cast<uint16_t>(to >= size ? to - size : to);
    }
    bool operator==(const Cursor&) const = default;
  };

  [[nodiscard]] uint8_t* slot(uint32_t index) const noexcept { return parts_.descriptors + index * size_t{16}; }
  [[nodiscard]] bool any_used() const noexcept;
  [[nodiscard]] static bool is_available(uint16_t flags, bool wrap) noexcept;
  ChainBuilder::Step walk(const guest::GuestMemory& memory, ChainBatch& batch, uint16_t flags,
                          RingFault& fault) noexcept;
  void put(const guest::GuestMemory& memory, uint16_t id, uint32_t written, uint32_t descriptors) noexcept;
  void set_event(const guest::GuestMemory& memory, uint16_t position, uint16_t flags) noexcept;

  RingParts parts_;
  RingLog log_;
  RingOptions options_;
  uint32_t size_ = 0;
  Cursor next_;
  Cursor used_;
  Cursor called_;       // the used position when the driver was last considered for a notification
  uint32_t taken_ = 0;  // slots from used_ to next_
  Cursor first_;        // of the entries written and not published
  uint16_t first_flags_ = 0;
  bool unpublished_ = false;
  bool called_known_ = false;
};
static_assert(RingLayout<PackedRing>);

}  // namespace unetmap::virtio
