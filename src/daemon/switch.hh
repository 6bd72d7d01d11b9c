// SPDX-License-Identifier: BSD-2-Clause
// A switch: the memfd that everyone on it maps (SwitchShared), and the daemon's own copy of all it says there.
//
// Clients can write the shared tables; the copy here is the truth, and restore() puts it back.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.hh"
#include "base/result.hh"
#include "mem/memfd.hh"
#include "ring/layout.hh"
#include "vale/fence.hh"

namespace unetmap::daemon {

struct Port;

// A number other than `before` that no client can have foreseen: for words that tell by another value that something has
// changed. A vandal that had written the next value beforehand would have made it look old.
uint32_t unguessable(uint32_t before);

class Switch {
 public:
  // An empty name: memory for ports that are on no switch.
  static Result<std::shared_ptr<Switch>> create(std::string name);

  const std::string& name() const { return name_; }
  int fd() const { return fd_.get(); }
  SwitchShared& shared() const { return *reinterpret_cast<SwitchShared*>(map_.data()); }

  struct Record {
    Port* port = nullptr;     // whose index it is; nullptr while free
    uint32_t generation = 0;
    uint32_t flags = 0;
    uint16_t rx_rings = 0, header_len = 0;
    uint16_t monitors[kMaxMonitors] = {};  // index + 1
    uint32_t group = 0;                    // isolated; 0: none
    vale::FenceRules fence;
  };

  // Takes the lowest free index from `lowest` on. ENOSPC when there is none.
  Result<uint16_t> add(Port* port, uint16_t rx_rings, uint32_t flags, uint16_t lowest = 0);
  void remove(uint16_t index);

  // nullptr for an index that is free.
  const Record* find(uint32_t index) const {
    return index < records_.size() && records_[index].port ? &records_[index] : nullptr;
  }
  PortEntry& entry(uint32_t index) { return shared().port[index]; }
  uint32_t limit() const { return uint32_t(records_.size()); }
  uint32_t ports() const { return ports_; }

  void set_header_len(uint16_t index, uint16_t header_len);
  void set_group(uint16_t index, uint32_t group);
  void set_fence(uint16_t index, const vale::FenceRules& fence);
  void set_flag(uint16_t index, uint32_t flag, bool on);
  // False when the port has as many monitors as it can.
  bool add_monitor(uint16_t index, uint16_t monitor);
  void remove_monitor(uint16_t index, uint16_t monitor);

  // Everything that clients have no business to write, written again where it differs. True if something did; then the
  // addresses that were learned are forgotten.
  bool restore();

 private:
  Switch() = default;
  bool write_entry(uint16_t index);
  bool write_flood();
  bool empty(uint64_t from, uint64_t end);
  bool addresses_make_sense() const;
  void bump_topology();

  std::string name_;
  UniqueFd fd_;
  mem::Mapping map_;
  std::vector<Record> records_;  // port_limit of them
  uint32_t ever_used_ = 0;  // indices that ever were a port's
  // Of the port made last. No two ports of a switch share one, of whatever index: an entry of the forwarding table whose
  // port was garbled so never means another one.
  uint32_t generation_ = 0;
  std::vector<uint16_t> flood_;
  uint32_t ports_ = 0, lossless_ = 0, topology_ = 0;
  uint64_t seed_ = 0;
};

}  // namespace unetmap::daemon
