// SPDX-License-Identifier: BSD-2-Clause
#include "dev/virtio_net/vring.hh"

namespace unetmap::virtio {
namespace {

// The bytes of the three parts must lie in one region each. An address of the front-end is aligned as the guest's is,
// and that as ours is, unless the front-end lies; so what counts is ours.
template <RingLayout R>
RingFault find_parts(const guest::GuestMemory& memory, const RingSetup& setup, RingParts& parts) noexcept {
  const bool event_idx = (setup.features & kEventIdx) != 0;
  const struct {
    uint8_t*& part;
    uint64_t address;
    size_t bytes, align;
  } all[] = {
      {parts.descriptors, setup.descriptors, R::descriptors_bytes(setup.size), R::kDescriptorsAlign},
      {parts.driver, setup.driver, R::driver_bytes(setup.size, event_idx), R::kDriverAlign},
      {parts.device, setup.device, R::device_bytes(setup.size, event_idx), R::kDeviceAlign},
  };
  for (const auto& [part, address, bytes, align] : all) {
    part = memory.at_user(address, bytes);
    if (part == nullptr) return RingFault::kRingOutsideMemory;
    if (reinterpret_cast<uintptr_t>(part) % align != 0) return RingFault::kRingMisaligned;
  }
  return RingFault::kNone;
}

}  // namespace

RingFault Vring::locate(RingParts& parts, RingLog& log) const noexcept {
  const bool packed = (setup_.features & kRingPacked) != 0;
  const RingFault fault =
      packed ? find_parts<PackedRing>(*memory_, setup_, parts) : find_parts<SplitRing>(*memory_, setup_, parts);
  if (fault != RingFault::kNone) return fault;
  log.on = logging_ && memory_->guest_of_user(setup_.descriptors, log.descriptors) &&
           memory_->guest_of_user(setup_.device, log.device);
  return RingFault::kNone;
}

RingFault Vring::start(const guest::GuestMemory& memory, const RingSetup& setup) noexcept {
  memory_ = &memory;
  setup_ = setup;
  setup_.features = consistent(setup.features);
  generation_ = memory.generation();
  logging_ = setup_.log && memory.logging();
  const bool packed = (setup_.features & kRingPacked) != 0;
  RingParts parts;
  RingLog log;
  const bool good = packed ? PackedRing::size_is_good(setup.size) : SplitRing::size_is_good(setup.size);
  fault_ = good ? locate(parts, log) : RingFault::kQueueSize;
  if (fault_ != RingFault::kNone) {
    memory_ = nullptr;
    return fault_;
  }
  packed_ = packed;
  if (packed_) {
    ring_.emplace<PackedRing>();
  } else {
    ring_.emplace<SplitRing>();
  }
  const RingOptions options{.event_idx = (setup_.features & kEventIdx) != 0,
                            .indirect = (setup_.features & kIndirectDesc) != 0,
                            .in_order = (setup_.features & kInOrder) != 0};
  visit([&](auto& ring) { ring.start(setup.position, setup.size, options, parts, log); });
  return RingFault::kNone;
}

bool Vring::ready() noexcept {
  if (!running()) return false;
  const bool logging = setup_.log && memory_->logging();
  if (generation_ == memory_->generation() && logging == logging_) [[likely]]
    return true;
  generation_ = memory_->generation();
  logging_ = logging;
  RingParts parts;
  RingLog log;
  fault_ = locate(parts, log);
  if (fault_ != RingFault::kNone) {
    memory_ = nullptr;  // the ring's pointers are void: nothing may use them again
    return false;
  }
  visit([&](auto& ring) { ring.move(parts, log); });
  return true;
}

size_t Vring::take(ChainBatch& batch, size_t count) noexcept {
  if (!ready()) return 0;
  const size_t before = batch.size();
  fault_ = visit([&](auto& ring) { return ring.take(*memory_, batch, count); });
  return batch.size() - before;
}

bool Vring::finish() noexcept {
  // Not ready(): between take and finish the memory stays as it is.
  if (memory_ == nullptr) return false;
  return visit([&](auto& ring) {
    ring.publish(*memory_);
    ring.rewind();
    return ring.call_wanted();
  });
}

bool Vring::arm() noexcept {
  return ready() && visit([&](auto& ring) { return ring.arm(*memory_); });
}

void Vring::disarm() noexcept {
  if (ready()) visit([&](auto& ring) { ring.disarm(*memory_); });
}

}  // namespace unetmap::virtio
