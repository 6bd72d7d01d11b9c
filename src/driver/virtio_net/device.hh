// SPDX-License-Identifier: BSD-2-Clause
// A virtio network device on PCI (1af4:1041, or 1af4:1000 where it is a modern one too) is started and stopped.
// Virtio 1.2, 3.1 and 4.1.
#pragma once

#include <span>

#include "driver/control.hh"

namespace unetmap::driver {

// Where its structures are; all in one memory BAR.
struct VirtioPlaces {
  unsigned bar = 0;
  uint32_t common = 0, notify = 0, device = 0;
  uint32_t notify_multiplier = 0;
  uint32_t bar_bytes = 0;  // up to the end of the last of them
  uint32_t isr = 0;        // 0: elsewhere, or none
};
// From the configuration space, which the device wrote.
Result<VirtioPlaces> virtio_places(std::span<const uint8_t> config);

class VirtioNetDevice final : public Device {
 public:
  VirtioNetDevice(Registers& registers, const VirtioPlaces& places) : registers_(registers), places_(places) {}
  Result<void> start(const DeviceSettings& settings, Shared& shared, const PauseFor& pause) override;
  void stop(const PauseFor& pause) override;
  bool running() override;
  bool link_up() override;

 private:
  Result<uint64_t> negotiate(const DeviceSettings& settings);
  Result<uint32_t> queue_size(const DeviceSettings& settings, uint32_t pairs);
  Result<uint32_t> set_queue(uint32_t number, uint32_t size, const std::array<uint64_t, 3>& addresses, uint32_t vector);
  Result<void> set_pair(uint32_t pair, const DeviceSettings& settings, Shared& shared);
  Result<void> set_pair_count(const DeviceSettings& settings, const Shared& shared, const PauseFor& pause);
  uint32_t most_pairs();
  uint8_t status() { return uint8_t(registers_.read(places_.common + kDeviceStatus, 1)); }
  void add_status(uint8_t bit) { registers_.write(places_.common + kDeviceStatus, status() | bit, 1); }

  static constexpr uint32_t kDeviceStatus = 20;
  Registers& registers_;
  VirtioPlaces places_;
  uint64_t features_ = 0;
};

}  // namespace unetmap::driver
