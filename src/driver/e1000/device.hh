// SPDX-License-Identifier: BSD-2-Clause
// An 82540EM (PCI 8086:100e) is started and stopped, with its paravirtual extension where it has that. SDM chapter 14.
#pragma once

#include "driver/control.hh"

namespace unetmap::driver {

class E1000Device final : public Device {
 public:
  static constexpr uint32_t kBarBytes = 128 * 1024;
  explicit E1000Device(Registers& registers) : registers_(registers) {}
  Result<void> start(const DeviceSettings& settings, Shared& shared, const PauseFor& pause) override;
  void stop(const PauseFor& pause) override;
  bool link_up() override;

 private:
  bool wake_phy(const PauseFor& pause);
  bool write_phy(uint32_t phy_register, uint16_t value, const PauseFor& pause);
  void set_filters(const DeviceSettings& settings);
  void set_rings(const DeviceSettings& settings);
  void set_block(const DeviceSettings& settings, Shared& shared);

  Registers& registers_;
};

}  // namespace unetmap::driver
