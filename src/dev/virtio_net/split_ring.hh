// SPDX-License-Identifier: BSD-2-Clause
// The split layout: virtio 1.2, section 2.7.
#pragma once

#include "dev/virtio_net/descriptor.hh"
#include "dev/virtio_net/ring.hh"

namespace unetmap::virtio {

class SplitRing {
 public:
  static size_t descriptors_bytes(uint32_t size) noexcept { return size * size_t{16}; }
  static size_t driver_bytes(uint32_t size, bool event_idx) noexcept { return 4 + size * size_t{2} + 2 * event_idx; }
  static size_t device_bytes(uint32_t size, bool event_idx) noexcept { return 4 + size * size_t{8} + 2 * event_idx; }
  static bool size_is_good(uint32_t size) noexcept {
    return size > 0 && size <= kMaxQueueSize && (size & (size - 1)) == 0;
  }
  static constexpr size_t kDescriptorsAlign = 16, kDriverAlign = 2, kDeviceAlign = 4;

  // `position` is not needed: the used index in the ring says where we stopped, and we give back in order.
  void start(uint32_t position, uint32_t size, RingOptions options, RingParts parts, RingLog log) noexcept;
  void move(RingParts parts, RingLog log) noexcept {
    parts_ = parts;
    log_ = log;
  }
  [[nodiscard]] uint32_t position() const noexcept { return used_; }

  [[nodiscard]] RingFault take(const guest::GuestMemory& memory, ChainBatch& batch, size_t count) noexcept;
  void give(const guest::GuestMemory& memory, const Chain& chain, uint32_t written) noexcept;
  void give_read(const guest::GuestMemory& memory, const ChainBatch& batch, size_t first, size_t count) noexcept;
  void publish(const guest::GuestMemory& memory) noexcept;
  void rewind() noexcept { next_ = used_; }
  [[nodiscard]] bool call_wanted() noexcept;
  [[nodiscard]] bool call_overdue() const noexcept;
  [[nodiscard]] bool arm(const guest::GuestMemory& memory) noexcept;
  void disarm(const guest::GuestMemory& memory) noexcept;

 private:
  ChainBuilder::Step walk(const guest::GuestMemory& memory, ChainBatch& batch, uint16_t head, SplitDescriptor entry,
                          RingFault& fault) noexcept;
  void put(uint16_t at, uint16_t id, uint32_t written) noexcept;
  void written(const guest::GuestMemory& memory, size_t at, size_t bytes) const noexcept {
    if (log_.on) [[unlikely]]
      memory.written(log_.device + at, bytes);
  }

  RingParts parts_;
  RingLog log_;
  RingOptions options_;
  uint32_t size_ = 0;
  uint16_t mask_ = 0;
  uint16_t next_ = 0;       // of the available ring
  uint16_t used_ = 0;       // of the used ring, entries not yet published included
  uint16_t published_ = 0;  // the used index that the driver sees
  uint16_t called_ = 0;     // the used index when the driver was last considered for a notification
  uint16_t available_ = 0;  // the available index as last loaded
  bool called_known_ = false;
};
static_assert(RingLayout<SplitRing>);

}  // namespace unetmap::virtio
