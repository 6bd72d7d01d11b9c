// SPDX-License-Identifier: BSD-2-Clause
#include "driver/virtio_net/device.hh"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <optional>

#include "dev/virtio_net/features.hh"
#include "driver/virtio_net/packed.hh"
#include "driver/virtio_net/rings.hh"
#include "driver/virtio_net/split.hh"

namespace unetmap::driver {
namespace {

using namespace unetmap::virtio;

// Of the configuration space.
constexpr uint32_t kPciStatus = 6, kHasCapabilities = 0x10, kCapabilities = 0x34, kBars = 0x10;
constexpr uint8_t kVendorCapability = 9;
enum Structure : uint8_t { kCommonStructure = 1, kNotifyStructure = 2, kIsrStructure = 3, kDeviceStructure = 4 };
constexpr uint32_t kCommonBytes = 56, kDeviceBytes = 10, kMostBarBytes = 1 << 20;
// Of the common structure.
constexpr uint32_t kDeviceFeatureSelect = 0, kDeviceFeature = 4, kDriverFeatureSelect = 8, kDriverFeature = 12,
                   kConfigMsixVector = 16, kQueueSelect = 22, kQueueSize = 24, kQueueMsixVector = 26, kQueueEnable = 28,
                   kQueueNotifyOff = 30, kQueueDescriptors = 32;
constexpr uint32_t kNoVector = 0xffff;
constexpr uint64_t kAccessPlatform = uint64_t{1} << 33;  // addresses go through the IOMMU, if there is one
constexpr uint8_t kAcknowledge = 1, kDriver = 2, kDriverOk = 4, kFeaturesOk = 8;
// Of the device's own.
constexpr uint32_t kLinkStatus = 6, kMostPairsThere = 8;
// A command of the control queue (5.1.6.5), in its page behind the ring's parts.
constexpr uint8_t kPairsClass = 4, kSetPairs = 0, kCommandDone = 0, kNoAnswer = 0xff;
constexpr uint32_t kControlSize = 16, kControlDriver = 512, kControlDevice = 1024, kCommandAt = 2048, kAnswerAt = 2064;
constexpr uint32_t kCommandTries = 1000, kCommandPause_us = 1000;
constexpr uint32_t kTagged = 18;  // Ethernet's header, and a tag's

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
  auto isr = capability(config, kIsrStructure);
  if (isr && (isr->offset == 0 || !usable(*isr, *common, 1))) isr.reset();
  VirtioPlaces out{common->bar, common->offset,       notify->offset, device->offset, word(config, notify->at + 16),
                   0,           isr ? isr->offset : 0};
  for (const auto& each : {common, notify, device, isr ? isr : common})
    out.bar_bytes = std::max(out.bar_bytes, each->offset + each->length);
  out.bar_bytes = (out.bar_bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
  return out;
}

// Offloads would put half-made frames into the rings. Several buffers a packet are had only where one is not enough: it
// costs a look at each header.
Result<uint64_t> VirtioNetDevice::negotiate(const DeviceSettings& settings) {
  uint64_t offered = 0;
  for (uint32_t half : {0u, 1u}) {
    registers_.write32(places_.common + kDeviceFeatureSelect, half);
    offered |= uint64_t{registers_.read32(places_.common + kDeviceFeature)} << (32 * half);
  }
  if (!(offered & kVersion1)) return Error{ENOTSUP, "virtio-net: a legacy device; start QEMU with disable-modern=off"};
  uint64_t wanted =
      kVersion1 | kAccessPlatform | unetmap::virtio::kMac | unetmap::virtio::kStatus | kEventIdx | kRingPacked;
  if (settings.mtu + kTagged > settings.buffer_room) {
    wanted |= kMrgRxbuf;
    if (!(offered & kMrgRxbuf))
      return Error{ENOTSUP,
                   "virtio-net: frames of its MTU take several buffers, which the device does not offer; "
                   "start QEMU with mrg_rxbuf=on"};
  }
  if (settings.pairs > 1 && (offered & kMq) && (offered & kCtrlVq)) wanted |= kMq | kCtrlVq;
  const uint64_t taken = offered & wanted;
  for (uint32_t half : {0u, 1u}) {
    registers_.write32(places_.common + kDriverFeatureSelect, half);
    registers_.write32(places_.common + kDriverFeature, uint32_t(taken >> (32 * half)));
  }
  add_status(kFeaturesOk);
  if (!(status() & kFeaturesOk))
    return Error{ENOTSUP, "virtio-net: the device insists on features that are not used here, such as an IOMMU's"};
  return taken;
}

uint32_t VirtioNetDevice::most_pairs() {
  if (!(features_ & kMq)) return 1;
  return std::max(1u, registers_.read(places_.device + kMostPairsThere, 2));
}

// Its place for notifications.
Result<uint32_t> VirtioNetDevice::set_queue(uint32_t number, uint32_t size, const std::array<uint64_t, 3>& addresses,
                                            uint32_t vector) {
  const uint32_t common = places_.common;
  registers_.write(common + kQueueSelect, number, 2);
  registers_.write(common + kQueueSize, size, 2);
  registers_.write(common + kQueueMsixVector, vector, 2);
  if (vector != kNoVector && registers_.read(common + kQueueMsixVector, 2) != vector)
    return Error{EIO, "virtio-net: the device takes no interrupt for one of its queues"};
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

// All rings have the same.
Result<uint32_t> VirtioNetDevice::queue_size(const DeviceSettings& settings, uint32_t pairs) {
  uint32_t size = std::min(settings.descriptors, kMostDescriptors);
  for (uint32_t number = 0; number < 2 * pairs; number++) {
    registers_.write(places_.common + kQueueSelect, number, 2);
    size = std::min(size, registers_.read(places_.common + kQueueSize, 2));
  }
  size = std::bit_floor(size);
  if (size < 16) return Error{ENOTSUP, "virtio-net: queues of fewer than 16 descriptors"};
  return size;
}

Result<void> VirtioNetDevice::set_pair(uint32_t pair, const DeviceSettings& settings, Shared& shared) {
  const auto address = [&](DmaPage page) { return settings.page_addresses[page_of(pair, page)]; };
  // As many vectors as messages that the kernel passes on; where pairs have to share them, the last pairs share the
  // last.
  const uint32_t vector =
      settings.interrupts == Interrupts::kMessages ? std::min(pair, settings.vectors - 1) : kNoVector;
  auto rx = set_queue(rx_queue_number(pair), shared.descriptors,
                      {address(kRxDescriptors), address(kRxAvailable), address(kRxUsed)}, vector);
  if (!rx) return rx.error();
  auto tx = set_queue(tx_queue_number(pair), shared.descriptors,
                      {address(kTxDescriptors), address(kTxAvailable), address(kTxUsed)}, vector);
  if (!tx) return tx.error();
  PairState& state = shared.pairs[pair];
  state.rx_notify = *rx;
  state.tx_notify = *tx;
  for (uint32_t i = 0; i < shared.descriptors; i++) {
    state.tx.free_ids[i].store(i, std::memory_order_relaxed);
    state.rx.ids[i].store(i, std::memory_order_relaxed);
  }
  state.tx.free_count.store(shared.descriptors, std::memory_order_release);
  return {};
}

namespace {

// Whether the device has done the one command that the queue ever has: what it says, what it tells of, its answer.
template <class Vring>
bool command(uint8_t* page, uint64_t address, const std::function<void()>& notify, const PauseFor& pause) {
  Vring ring({page, page + kControlDriver, page + kControlDevice}, kControlSize, false);
  const Segment parts[] = {{address + kCommandAt, 2}, {address + kCommandAt + 2, 2}, {address + kAnswerAt, 1}};
  const uint32_t ids[] = {0, 1, 2};
  const uint16_t next = ring.describe(0, parts, ids, 2);
  ring.publish(0, next);
  notify();
  for (uint32_t i = 0; i < kCommandTries; i++) {
    if (ring.ready(0, 1) == 1) return __atomic_load_n(page + kAnswerAt, __ATOMIC_ACQUIRE) == kCommandDone;
    pause(kCommandPause_us);
  }
  return false;
}

}  // namespace

// After the device is at work: until then it has one pair.
Result<void> VirtioNetDevice::set_pair_count(const DeviceSettings& settings, const Shared& shared,
                                             const PauseFor& pause) {
  const auto number = uint16_t(2 * most_pairs());
  registers_.write(places_.common + kQueueSelect, number, 2);
  const uint64_t address = settings.page_addresses[kControl];
  if (registers_.read(places_.common + kQueueSize, 2) < kControlSize || settings.control_page == nullptr)
    return Error{ENOTSUP, "virtio-net: its control queue is too small"};
  auto notify =
      set_queue(number, kControlSize, {address, address + kControlDriver, address + kControlDevice}, kNoVector);
  if (!notify) return notify.error();
  uint8_t* page = settings.control_page;
  memset(page, 0, kPageBytes);
  page[kCommandAt] = kPairsClass;
  page[kCommandAt + 1] = kSetPairs;
  const auto pairs = uint16_t(shared.pair_count);
  memcpy(page + kCommandAt + 2, &pairs, sizeof pairs);
  page[kAnswerAt] = kNoAnswer;
  add_status(kDriverOk);
  const auto tell = [&] { registers_.write(*notify, number, 2); };
  const bool done = shared.virtio_ways & kPackedRings ? command<PackedVring>(page, address, tell, pause)
                                                      : command<SplitVring>(page, address, tell, pause);
  if (!done) return Error{EIO, "virtio-net: the device did not take as many queue pairs as it has"};
  return {};
}

Result<void> VirtioNetDevice::start(const DeviceSettings& settings, Shared& shared, const PauseFor& pause) {
  stop(pause);
  if (status() != 0) return Error{EIO, "virtio-net: the device does not answer a reset"};
  add_status(kAcknowledge);
  add_status(kDriver);
  auto features = negotiate(settings);
  if (!features) return features.error();
  features_ = *features;
  registers_.write(places_.common + kConfigMsixVector, kNoVector, 2);
  shared.pair_count = std::min({std::max(settings.pairs, 1u), most_pairs(), kMostPairs});
  auto size = queue_size(settings, shared.pair_count);
  if (!size) return size.error();
  shared.model = Model::kVirtioNet;
  shared.virtio_ways = 0;
  shared.descriptors = *size;
  shared.bar_bytes = places_.bar_bytes;
  shared.isr_at = places_.isr;
  shared.most_bytes = kMostBytes;
  for (auto [feature, way] : {std::pair{kRingPacked, kPackedRings}, std::pair{kEventIdx, kEventIndex},
                              std::pair{kMrgRxbuf, kMergeableBuffers}})
    if (features_ & feature) shared.virtio_ways |= way;
  shared.headers_address = settings.page_addresses[kHeaders];
  for (uint32_t pair = 0; pair < shared.pair_count; pair++)
    if (auto done = set_pair(pair, settings, shared); !done) return done;
  if (shared.pair_count > 1) return set_pair_count(settings, shared, pause);
  add_status(kDriverOk);
  return {};
}

void VirtioNetDevice::stop(const PauseFor& pause) {
  registers_.write(places_.common + kDeviceStatus, 0, 1);
  for (uint32_t i = 0; i < kResetTries && status() != 0; i++) pause(kResetPause_us);
}

bool VirtioNetDevice::running() {
  const uint8_t now = status();
  return now != UINT8_MAX && (now & kDriverOk);
}

bool VirtioNetDevice::link_up() {
  if (!(features_ & unetmap::virtio::kStatus)) return true;
  return registers_.read(places_.device + kLinkStatus, 2) & 1;
}

}  // namespace unetmap::driver
