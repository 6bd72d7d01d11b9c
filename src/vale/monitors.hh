// SPDX-License-Identifier: BSD-2-Clause
// Who watches a port of a switch. The port table is foreign: what it says only chooses who gets copies.
#pragma once

#include "ring/layout.hh"

namespace unetmap::vale {

// True if anybody watches this port. The list is where its other words are that a delivery reads.
inline bool watched(const PortEntry& port) {
  uint16_t any = 0;
  for (auto& monitor : port.monitors) any |= monitor.load(std::memory_order_relaxed);
  return any != 0;
}

// show(index, flags) for each port of the switch that watches `port`, in the list's order.
template <typename Show>
void each_monitor(const SwitchShared& sw, const PortEntry& port, Show&& show) {
  for (auto& monitor : port.monitors) {
    uint16_t index = uint16_t(monitor.load(std::memory_order_relaxed) - 1);
    if (index < kMaxPorts && &sw.port[index] != &port)
      show(index, sw.port[index].flags.load(std::memory_order_relaxed));
  }
}

}  // namespace unetmap::vale
