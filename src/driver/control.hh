// SPDX-License-Identifier: BSD-2-Clause
// Setting a device up and stopping it: what the keeper does before and after programs have its rings. No system calls:
// waiting is the caller's.
#pragma once

#include <array>
#include <cstdint>
#include <functional>

#include "base/result.hh"
#include "driver/hardware.hh"
#include "driver/memory.hh"

namespace unetmap::driver {

using PauseFor = std::function<void(uint32_t microseconds)>;

struct DeviceSettings {
  std::array<uint8_t, 6> mac{};
  bool promiscuous = false;
  uint32_t mtu = 1500;
  uint32_t buffer_room = 2048;              // bytes of a packet that a buffer of netmap's holds
  uint32_t pairs = 1;                       // of rings, wanted: a device may have fewer
  uint32_t descriptors = kMostDescriptors;  // wanted of each ring: a power of two
  Interrupts interrupts = Interrupts::kNone;
  uint32_t vectors = 1;                              // kMessages: so many different ones, at least 1
  bool paravirt = false;                             // the device is an e1000-paravirt
  uint8_t* control_page = nullptr;                   // page kControl as mapped here
  std::array<uint64_t, kDmaPages> page_addresses{};  // the device's
};

class Device {
 public:
  virtual ~Device() = default;
  // From whatever state to both rings running, empty. Fills in what the rings' users need of `shared`, which is zero
  // before. The device must be allowed to touch memory by then.
  virtual Result<void> start(const DeviceSettings& settings, Shared& shared, const PauseFor& pause) = 0;
  // It touches no memory any more when this returns. From whatever state.
  virtual void stop(const PauseFor& pause) = 0;
  // Whether it still is as start() left it: a machine that sleeps resets its devices.
  [[nodiscard]] virtual bool running() = 0;
  [[nodiscard]] virtual bool link_up() = 0;
};

}  // namespace unetmap::driver
