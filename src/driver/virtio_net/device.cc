// SPDX-License-Identifier: BSD-2-Clause
#include "driver/virtio_net/device.hh"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <optional>

#include "dev/virtio_net/features.hh"
#include "driver/virtio_net/rings.hh"

namespace unetmap::driver {
namespace {

using namespace unetmap::virtio;

// Of the configuration space.
constexpr uint32_t kPciStatus = 6, kHasCapabilities = 0x10, kCapabilities = 0x34, kBars = 0x10;
constexpr uint8_t kVendorCapability = 9;
enum Structure : uint8_t { kCommonStructure = 1, kNotifyStructure = 2, kDeviceStructure = 4 };
constexpr uint32_t kCommonBytes = 56, kDeviceBytes = 8, kMostBarBytes = 1 << 20;
// Of the common structure.
constexpr uint32_t kDeviceFeatureSelect = 0, kDeviceFeature = 4, kDriverFeatureSelect = 8, kDriverFeature = 12,
                   kConfigMsixVector = 16, kQueueSelect = 22, kQueueSize = 24, kQueueMsixVector = 26, kQueueEnable = 28,
                   kQueueNotifyOff = 30, kQueueDescriptors = 32;
constexpr uint32_t kNoVector = 0xffff;
constexpr uint8_t kAcknowledge = 1, kDriver = 2, kDriverOk = 4, kFeaturesOk = 8;
// Of the device's own.
constexpr uint32_t kLinkStatus = 6;

constexpr uint32_t kResetTries = 1000, kResetPause_us = 1000;
constexpr uint32_t kMostBytes = 65535;

struct Capability {
  uint8_t type, bar;
  uint32_t offset, length, at;
};

uint32_t word(std::span<const uint8_t> config, size_t at) {
  uint32_t out = 0;
  if (at + sizeof out <= config.size()) memcpy(&out, &config[at], sizeof out);
  return out;
}

// The first of its type.
std::optional<Capability> capability(std::span<const uint8_t> config, uint8_t type) {
  if (config.size() < 64 || !(config[kPciStatus] & kHasCapabilities)) return std::nullopt;
  uint32_t at = config[kCapabilities] & ~3u;
  constexpr int kMost = 48;  // a list that is longer goes in circles
  for (int i = 0; i < kMost && at >= 64 && at + 16 <= config.size(); i++, at = config[at + 1] & ~3u)
    if (config[at] == kVendorCapability && config[at + 3] == type)
      return Capability{type, config[at + 4], word(config, at + 8), word(config, at + 12), at};
  return std::nullopt;
}

bool usable(const Capability& found, const Capability& first, uint32_t least) {
  return found.bar == first.bar && found.bar < 6 && found.length >= least && found.offset < kMostBarBytes &&
         found.length <= kMostBarBytes - found.offset && found.offset % 4 == 0;
}

}  // namespace

Result<VirtioPlaces> virtio_places(std::span<const uint8_t> config) {
  auto common = capability(config, kCommonStructure), notify = capability(config, kNotifyStructure),
       device = capability(config, kDeviceStructure);
  if (!common || !notify || !device)
    return Error{ENOTSUP, "virtio-net: a legacy device; start QEMU with disable-modern=off"};
  if (!usable(*common, *common, kCommonBytes) || !usable(*notify, *common, 2) ||
      !usable(*device, *common, kDeviceBytes) || (word(config, kBars + 4 * common->bar) & 1))
    return Error{ENOTSUP, "virtio-net: its structures are not in one memory BAR, as those of QEMU are"};
  VirtioPlaces out{common->bar, common->offset, notify->offset, device->offset, word(config, notify->at + 16), 0};
  for (const auto& each : {common, notify, device})
    out.bar_bytes = std::max(out.bar_bytes, each->offset + each->length);
  out.bar_bytes = (out.bar_bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
  return out;
}

// What neither side has to do anything for. Offloads would put half-made frames into the rings.
Result<uint64_t> VirtioNetDevice::negotiate() {
  uint64_t offered = 0;
  for (uint32_t half : {0u, 1u}) {
    registers_.write32(places_.common + kDeviceFeatureSelect, half);
    offered |= uint64_t{registers_.read32(places_.common + kDeviceFeature)} << (32 * half);
  }
  if (!(offered & kVersion1)) return Error{ENOTSUP, "virtio-net: a legacy device; start QEMU with disable-modern=off"};
  const uint64_t taken = offered & (kVersion1 | unetmap::virtio::kMac | unetmap::virtio::kStatus);
  for (uint32_t half : {0u, 1u}) {
    registers_.write32(places_.common + kDriverFeatureSelect, half);
    registers_.write32(places_.common + kDriverFeature, uint32_t(taken >> (32 * half)));
  }
  add_status(kFeaturesOk);
  if (!(status() & kFeaturesOk))
    return Error{ENOTSUP, "virtio-net: the device insists on features that are not used here, such as an IOMMU's"};
  return taken;
}

// Its place for notifications.
Result<uint32_t> VirtioNetDevice::set_queue(uint32_t number, uint32_t size, const std::array<uint64_t, 3>& addresses) {
  const uint32_t common = places_.common;
  registers_.write(common + kQueueSelect, number, 2);
  registers_.write(common + kQueueSize, size, 2);
  registers_.write(common + kQueueMsixVector, kNoVector, 2);
  for (size_t i = 0; i < addresses.size(); i++) {
    registers_.write32(common + kQueueDescriptors + 8 * uint32_t(i), uint32_t(addresses[i]));
    registers_.write32(common + kQueueDescriptors + 8 * uint32_t(i) + 4, uint32_t(addresses[i] >> 32));
  }
  const uint64_t notify =
      places_.notify + uint64_t{registers_.read(common + kQueueNotifyOff, 2)} * places_.notify_multiplier;
  if (notify + 2 > places_.bar_bytes) return Error{EIO, "virtio-net: a queue's notifications go beyond its BAR"};
  registers_.write(common + kQueueEnable, 1, 2);
  return uint32_t(notify);
}

Result<void> VirtioNetDevice::start(const DeviceSettings& settings, Shared& shared, const PauseFor& pause) {
  stop(pause);
  if (status() != 0) return Error{EIO, "virtio-net: the device does not answer a reset"};
  add_status(kAcknowledge);
  add_status(kDriver);
  auto features = negotiate();
  if (!features) return features.error();
  features_ = *features;
  registers_.write(places_.common + kConfigMsixVector, kNoVector, 2);
  uint32_t size = std::min(settings.descriptors, kMostDescriptors);
  for (uint32_t number : {kRxQueueNumber, kTxQueueNumber}) {
    registers_.write(places_.common + kQueueSelect, number, 2);
    size = std::min(size, registers_.read(places_.common + kQueueSize, 2));
  }
  size = std::bit_floor(size);
  if (size < 16) return Error{ENOTSUP, "virtio-net: queues of fewer than 16 descriptors"};
  const auto& pages = settings.page_addresses;
  auto rx = set_queue(kRxQueueNumber, size, {pages[kRxDescriptors], pages[kRxAvailable], pages[kRxUsed]});
  if (!rx) return rx.error();
  auto tx = set_queue(kTxQueueNumber, size, {pages[kTxDescriptors], pages[kTxAvailable], pages[kTxUsed]});
  if (!tx) return tx.error();
  shared.model = Model::kVirtioNet;
  shared.descriptors = size;
  shared.bar_bytes = places_.bar_bytes;
  shared.most_bytes = kMostBytes;
  shared.tx_notify = *tx;
  shared.rx_notify = *rx;
  shared.headers_address = pages[kHeaders];
  for (uint32_t i = 0; i < size; i++) {
    shared.tx.free_ids[i].store(i, std::memory_order_relaxed);
    shared.rx.ids[i].store(i, std::memory_order_relaxed);
  }
  shared.tx.free_count.store(size, std::memory_order_release);
  add_status(kDriverOk);
  return {};
}

void VirtioNetDevice::stop(const PauseFor& pause) {
  registers_.write(places_.common + kDeviceStatus, 0, 1);
  for (uint32_t i = 0; i < kResetTries && status() != 0; i++) pause(kResetPause_us);
}

bool VirtioNetDevice::link_up() {
  if (!(features_ & unetmap::virtio::kStatus)) return true;
  return registers_.read(places_.device + kLinkStatus, 2) & 1;
}

}  // namespace unetmap::driver
