// SPDX-License-Identifier: BSD-2-Clause
// An 82540EM or one of its successors (card.hh) is started and stopped, with its paravirtual extension where it has
// that. SDM chapter 14.
#pragma once

#include "driver/control.hh"
#include "driver/e1000/card.hh"

namespace unetmap::driver {

class E1000Device final : public Device {
 public:
  static constexpr uint32_t kBarBytes = 128 * 1024;
  explicit E1000Device(Registers& registers, E1000Kind kind = E1000Kind::k82540em)
      : registers_(registers), kind_(kind), card_(e1000_card(kind)) {}
  Result<void> start(const DeviceSettings& settings, Shared& shared, const PauseFor& pause) override;
  void stop(const PauseFor& pause) override;
  bool running() override;
  bool link_up() override;

 private:
  bool wake_phy(const PauseFor& pause);
  bool write_phy(uint32_t phy_register, uint16_t value, const PauseFor& pause);
  void set_filters(const DeviceSettings& settings);
  void set_rings(const DeviceSettings& settings);
  void set_block(const DeviceSettings& settings, Shared& shared);
  void set_express(bool long_frames);
  void end_mastership(const PauseFor& pause);

  Registers& registers_;
  const E1000Kind kind_;
  const E1000Card& card_;
};

}  // namespace unetmap::driver
