// SPDX-License-Identifier: BSD-2-Clause
// What the parts of a device share: one object for each device, which its Device owns.
#pragma once

#include "dev/e1000/board/eeprom.hh"
#include "dev/e1000/board/pci_config.hh"
#include "dev/e1000/board/phy.hh"
#include "dev/e1000/csb.hh"
#include "dev/e1000/device.hh"
#include "dev/e1000/mac/filter.hh"
#include "dev/e1000/mac/interrupts.hh"
#include "dev/e1000/mac/statistics.hh"

namespace unetmap::e1000 {

struct State {
  State(const Config& c, const guest::GuestMemory& m) noexcept
      : config(c), memory(m), pci(c.paravirt), eeprom(c.mac, c.paravirt), irq(c.mitigation, c.least_itr), csb(m) {}

  const Config config;
  const guest::GuestMemory& memory;
  PciConfig pci;
  Eeprom eeprom;
  Phy phy;
  Interrupts irq;
  Statistics statistics;
  Filter filter;
  Csb csb;
  Counters counters;
  Fault fault = Fault::kNone;
  uint64_t now_ns = 0;
  // Registers that the data path reads.
  uint32_t ctrl = kCtrlAtReset, rctl = 0, tctl = 0, rxcsum = 0, vet = 0x8100;
  bool shared = false;  // the driver's block is on: looked at once a batch

  void breaks(Fault why) noexcept {
    if (fault != Fault::kNone) return;
    fault = why;
    counters.faults++;
  }
  [[nodiscard]] bool link() const noexcept { return phy.link() && (ctrl & kCtrlSlu) != 0; }
  [[nodiscard]] bool loopback() const noexcept { return phy.loopback() || (rctl >> kRctlLbmShift & 3) != 0; }
  // Whether anything may move at all.
  [[nodiscard]] bool runs() const noexcept { return fault == Fault::kNone && pci.bus_master(); }

  // At the start of each batch.
  void look_at_block() noexcept {
    shared = csb.look();
    if (csb.lost()) breaks(Fault::kBlock);
    if (config.paravirt) irq.use_vectors(shared && pci.msix_enabled() && csb.get(csb::kGuestUseMsix) != 0, now_ns);
  }
  // Causes of the data path: with the block, only what the driver asked for.
  void raise(uint32_t causes) noexcept { irq.raise(causes, now_ns); }
};

}  // namespace unetmap::e1000
