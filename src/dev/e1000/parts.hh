// SPDX-License-Identifier: BSD-2-Clause
// All of a device: what its registers reach.
#pragma once

#include "dev/e1000/register_file.hh"
#include "dev/e1000/rx/receive.hh"
#include "dev/e1000/state.hh"
#include "dev/e1000/tx/transmit.hh"

namespace unetmap::e1000 {

struct Device::Parts {
  Parts(const Config& config, const guest::GuestMemory& memory)
      : state(config, memory), transmit(state), receive(state) {
    reset_mac();
  }

  [[nodiscard]] uint32_t read(uint32_t offset) noexcept;
  void write(uint32_t offset, uint32_t value) noexcept;

  // CTRL.RST: all but the PHY and the configuration space.
  void reset_mac() noexcept;
  // After anything that the link depends on.
  void look_at_link() noexcept;

  State state;
  Transmit transmit;
  Receive receive;
  RegisterFile plain;
  uint32_t mdic = kMdicReady;
  uint32_t packet_buffer = 0x0030;  // PBA
  uint32_t csb_high = 0;            // CSBAH, until CSBAL is written
  uint32_t io_address = 0;          // IOADDR
  bool link = true;                 // as last told
  std::array<uint8_t, 16 * kVectors> msix_table{};

 private:
  [[nodiscard]] uint32_t status() const noexcept;
  [[nodiscard]] bool read_ring(uint32_t offset, uint32_t& value) noexcept;
  [[nodiscard]] bool write_ring(uint32_t offset, uint32_t value) noexcept;
  [[nodiscard]] bool write_interrupt(uint32_t offset, uint32_t value) noexcept;
  [[nodiscard]] uint32_t* table(uint32_t offset) noexcept;
  void write_ctrl(uint32_t value) noexcept;
  void write_mdic(uint32_t value) noexcept;
  void write_csbal(uint32_t value) noexcept;
};

}  // namespace unetmap::e1000
