// SPDX-License-Identifier: BSD-2-Clause
// What a descriptor is bound to, as its rings see it: the port as the daemon described it, and its memory as mapped
// here.
#pragma once

#include <atomic>
#include <memory>

#include "base/fd.hh"
#include "client/link/connection.hh"
#include "client/memory/maps.hh"
#include "net/netmap.h"
#include "wire/messages.hh"

namespace unetmap::client {

class Port {
 public:
  Port(Connection& connection, const wire::BindInfo& info) : connection(connection), info(info) {}
  ~Port();
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  Connection& connection;
  wire::BindInfo info;
  std::shared_ptr<RegionMap> region;
  std::shared_ptr<SwitchMap> sw;
  UniqueFd doorbell;

  netmap_ring* ring_at(uint64_t ofs) const { return reinterpret_cast<netmap_ring*>(privates() + ofs); }
  TxKring* tx_kring(const wire::PortInfo& port, uint32_t ring) const {
    return reinterpret_cast<TxKring*>(privates() + port.tx_kring_ofs) + ring;
  }
  RxKring* rx_kring(const wire::PortInfo& port, uint32_t ring) const {
    return reinterpret_cast<RxKring*>(privates() + port.rx_kring_ofs) + ring;
  }
  uint8_t* privates() const { return region->privates.data(); }
  PortEntry* entry() const { return entry_of(info.port); }
  // Of a pipe's other end.
  PortEntry* peer_entry() const { return info.peer.rx_rings > 0 ? entry_of(info.peer) : nullptr; }
  wire::PortKind kind() const { return wire::PortKind(info.port.kind); }
  // True if the interface behind it is gone or changed; says so once.
  bool failed();
  // A NIC whose keeper has ended: it does not come back.
  bool gone() const;
  // A monitor of a port that all who had it open have closed.
  bool orphaned() const {
    const PortEntry* shown = kind() == wire::PortKind::kMonitor ? entry() : nullptr;
    return shown && (shown->flags.load(std::memory_order_relaxed) & kPortGone);
  }

 private:
  PortEntry* entry_of(const wire::PortInfo& port) const {
    return port.index < kMaxPorts ? &sw->shared()->port[port.index] : nullptr;
  }
  std::atomic<bool> failure_told_{false};
};

}  // namespace unetmap::client
