// SPDX-License-Identifier: BSD-2-Clause
// Begins and ends a session with the host of a passed-through port: what the keeper does before and after programs have
// its rings.
#pragma once

#include "driver/control.hh"
#include "driver/passthrough/rings.hh"

namespace unetmap::driver {

class PassedDevice final : public Device {
 public:
  // BAR 0, in which the doorbell is `doorbell` bytes away; BAR 2.
  PassedDevice(Registers& registers, uint32_t doorbell, std::span<uint8_t> memory)
      : registers_(registers), doorbell_(doorbell), memory_(memory) {}
  // Of `settings` nothing is wanted.
  Result<void> start(const DeviceSettings& settings, Shared& shared, const PauseFor& pause) override;
  void stop(const PauseFor& pause) override;
  // Its memory is the host's, and stays.
  [[nodiscard]] bool running() override { return true; }
  [[nodiscard]] bool link_up() override { return true; }

 private:
  Registers& registers_;
  const uint32_t doorbell_;
  std::span<uint8_t> memory_;
};

}  // namespace unetmap::driver
