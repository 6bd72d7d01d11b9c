// SPDX-License-Identifier: BSD-2-Clause
#include "dev/virtio_net/vring.hh"

#include <algorithm>

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
  if (setup_.log_at) log.device = *setup_.log_at;
  return RingFault::kNone;
}

RingFault Vring::start(const guest::GuestMemory& memory, const RingSetup& setup) noexcept {
  memory_ = &memory;
  setup_ = setup;
  setup_.features = consistent(setup.features);
  packed_ = (setup_.features & kRingPacked) != 0;
  placed_ = placed_once_ = false;
  taken_ = 0;
  waits_for_ = RingFault::kNone;
  const bool good = packed_ ? PackedRing::size_is_good(setup.size) : SplitRing::size_is_good(setup.size);
  fault_ = good ? RingFault::kNone : RingFault::kQueueSize;
  if (packed_) {
    ring_.emplace<PackedRing>();
  } else {
    ring_.emplace<SplitRing>();
  }
  if (good) place();
  if (fault_ != RingFault::kNone) memory_ = nullptr;
  return fault_;
}

// Finds the ring in the memory as it is now. False: not there, the ring waits; or a fault.
bool Vring::place() noexcept {
  generation_ = memory_->generation();
  logging_ = setup_.log && memory_->logging();
  RingParts parts;
  RingLog log;
  const RingFault why = locate(parts, log);
  placed_ = why == RingFault::kNone;
  waits_for_ = why == RingFault::kRingOutsideMemory ? why : RingFault::kNone;
  if (!placed_) {
    if (waits_for_ == RingFault::kNone) {
      fault_ = why;
      memory_ = nullptr;  // the ring's pointers are void: nothing may use them again
    }
    return false;
  }
  if (placed_once_) {
    visit([&](auto& ring) { ring.move(parts, log); });
    return true;
  }
  placed_once_ = true;
  const RingOptions options{.event_idx = (setup_.features & kEventIdx) != 0,
                            .indirect = (setup_.features & kIndirectDesc) != 0,
                            .in_order = (setup_.features & kInOrder) != 0};
  visit([&](auto& ring) { ring.start(setup_.position, setup_.size, options, parts, log); });
  return true;
}

bool Vring::untouched() const noexcept {
  if (memory_ == nullptr || waits_for_ != RingFault::kNone) return false;
  const auto zeros = [&](uint64_t address, size_t bytes) {
    const uint8_t* const at = memory_->at_user(address, bytes);
    return at != nullptr && std::all_of(at, at + bytes, [](uint8_t byte) { return byte == 0; });
  };
  const bool event_idx = (setup_.features & kEventIdx) != 0;
  const auto parts = [&]<class R>(const R&) {
    return zeros(setup_.descriptors, R::descriptors_bytes(setup_.size)) &&
           zeros(setup_.driver, R::driver_bytes(setup_.size, event_idx));
  };
  return visit(parts);
}

bool Vring::ready() noexcept {
  if (!running()) return false;
  const bool logging = setup_.log && memory_->logging();
  if (generation_ == memory_->generation() && logging == logging_) [[likely]]
    return placed_;
  return place();
}

size_t Vring::take(ChainBatch& batch, size_t count) noexcept {
  if (!ready()) return 0;
  const size_t before = batch.size();
  const RingFault why = visit([&](auto& ring) { return ring.take(*memory_, batch, count); });
  const bool away = why == RingFault::kAway;
  waits_for_ = away ? why : RingFault::kNone;
  if (!away) fault_ = why;
  taken_ += batch.size() - before;
  return batch.size() - before;
}

bool Vring::finish() noexcept {
  // Not ready(): between take and finish the memory stays as it is.
  if (memory_ == nullptr || !placed_) return false;
  return visit([&](auto& ring) {
    ring.publish(*memory_);
    ring.rewind();
    return ring.call_wanted();
  });
}

bool Vring::arm() noexcept {
  // What it waits for no kick tells.
  return ready() && visit([&](auto& ring) { return ring.arm(*memory_); }) && waits_for_ == RingFault::kNone;
}

void Vring::disarm() noexcept {
  if (ready()) visit([&](auto& ring) { ring.disarm(*memory_); });
}

}  // namespace unetmap::virtio
