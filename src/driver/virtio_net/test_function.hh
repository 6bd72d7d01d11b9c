// SPDX-License-Identifier: BSD-2-Clause
// For tests: the registers of a virtio network device on PCI, as its driver sees them.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>

#include "dev/virtio_net/features.hh"
#include "dev/virtio_net/vring.hh"
#include "driver/test_machine.hh"

namespace unetmap::driver {

// Common structure at 0, device structure at 0x80, notifications of queue n at 0x100 + 4 n. A control queue behind
// kPairs pairs.
class ModelFunction final : public Registers {
 public:
  static constexpr uint32_t kPairs = 3, kQueues = 2 * kPairs + 1;

  explicit ModelFunction(TestMachine& machine) : machine_(machine) {}
  uint32_t read(uint32_t offset, unsigned) override {
    switch (offset) {
      case 4:
        return feature_select ? uint32_t(offered >> 32) : uint32_t(offered);
      case 20:
        return status;
      case 24:
        return selected < kQueues ? queue_size : 0;
      case 30:
        return selected;
      case 0x86:
        return 1;
      case 0x88:
        return kPairs;
      default:
        return 0;
    }
  }
  void write(uint32_t offset, uint32_t value, unsigned) override {
    if (dies_before == offset) throw Killed();
    if (offset >= 0x100) kick((offset - 0x100) / 4 % kQueues);
    if (offset == 0) feature_select = value;
    if (offset == 8) driver_select = value;
    if (offset == 12) accepted = driver_select ? (accepted & 0xffffffff) | uint64_t{value} << 32 : value;
    if (offset == 20) status = value == 0 ? 0 : refuses ? value & ~8u : value;
    if (offset == 22) selected = value;
    if (offset == 24) sizes[selected % kQueues] = value;
    if (offset >= 32 && offset < 56) {
      auto& word = addresses[selected % kQueues][(offset - 32) / 8];
      word = offset % 8 ? (word & 0xffffffff) | uint64_t{value} << 32 : value;
    }
  }
  virtio::RingSetup setup(uint32_t queue) const {
    const auto& at = addresses[queue];
    return {.features = accepted, .size = sizes[queue], .descriptors = at[0], .driver = at[1], .device = at[2]};
  }
  uint64_t offered = virtio::kVersion1 | virtio::kMac | virtio::kStatus | virtio::kCsum | virtio::kGuestTso4;
  uint64_t accepted = 0;
  uint32_t feature_select = 0, driver_select = 0, status = 0, selected = 0, queue_size = 256, sizes[kQueues] = {};
  uint64_t addresses[kQueues][3] = {};
  uint64_t kicks[kQueues] = {};
  uint32_t pairs = 1;  // as commanded
  uint8_t answer = 0;
  bool refuses = false, deaf = false;
  std::optional<uint32_t> dies_before;

 private:
  void kick(uint32_t queue) {
    kicks[queue]++;
    if (queue + 1 < kQueues || deaf) return;
    virtio::Vring ring;
    auto batch = std::make_unique<virtio::ChainBatch>();
    ASSERT_EQ(ring.start(machine_.memory, setup(queue)), virtio::RingFault::kNone);
    ASSERT_EQ(ring.take(*batch, 1), 1u);
    const auto readable = batch->readable((*batch)[0]), writable = batch->writable((*batch)[0]);
    ASSERT_EQ(readable.size(), 2u);
    ASSERT_EQ(writable.size(), 1u);
    ASSERT_EQ(status & 4, 4u) << "not before it is at work";
    ASSERT_EQ(readable[0].at[0], 4);
    ASSERT_EQ(readable[0].at[1], 0);
    pairs = readable[1].at[0];
    writable[0].at[0] = answer;
    ring.give((*batch)[0], 1);
    (void)ring.finish();
  }
  TestMachine& machine_;
};

}  // namespace unetmap::driver
