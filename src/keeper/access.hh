// SPDX-License-Identifier: BSD-2-Clause
// A PCI function that its kernel driver has let go of, held in one of the ways of wire/device_ways.hh: its registers,
// the memory that it may reach, its interrupts.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/fd.hh"
#include "base/result.hh"
#include "driver/hardware.hh"
#include "driver/memory.hh"
#include "keeper/pci.hh"
#include "wire/device_ways.hh"

namespace unetmap::keeper {

// Interrupts as programs get them: a descriptor for each pair of rings, which is readable at its next one (the same may
// stand for several pairs), and for a line one by which it is let through again; docs as driver::Interrupts says.
struct Bells {
  driver::Interrupts kind = driver::Interrupts::kNone;
  uint32_t vectors = 1;  // messages: different ones; further pairs share the last
  std::vector<UniqueFd> of_pair;
  UniqueFd let_through;
};

class DeviceAccess {
 public:
  // The function is bound to way_driver(way) by then.
  static Result<std::unique_ptr<DeviceAccess>> open(const PciFunction& function, wire::DeviceWay way);
  // With it the function is let go of, unless programs have descriptors of it.
  virtual ~DeviceAccess() = default;

  // What programs map registers by, and where in it BAR `bar` begins.
  [[nodiscard]] virtual Result<UniqueFd> bar_file(unsigned bar, uint64_t& offset) const = 0;
  // Whether it may read and write memory by itself; its registers answer from now on.
  virtual Result<void> set_bus_master(bool on) = 0;
  // The function finds `bytes` of the memfd from `offset` on at `address`, until all descriptors of it are closed. Only
  // where addresses are ours to choose.
  virtual Result<void> let_reach(uint64_t address, int memfd, uint64_t offset, uint64_t bytes);
  // For so many pairs; the best that the function has. `of_pairs`: its driver here can give each pair one of its own.
  virtual Result<Bells> interrupts(uint32_t pairs, bool of_pairs) = 0;
  // Readable when the function may be unplugged: ask unplugged() then.
  [[nodiscard]] virtual int news() const = 0;
  virtual bool unplugged() = 0;
};

}  // namespace unetmap::keeper
