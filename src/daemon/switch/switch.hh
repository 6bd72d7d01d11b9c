// SPDX-License-Identifier: BSD-2-Clause
// A switch: the memfd that everyone on it maps (SwitchShared), and the daemon's own copy of all it says there.
//
// Clients can write the shared tables; the copy here is the truth, and restore() puts it back.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.hh"
#include "base/result.hh"
#include "daemon/switch/settings.hh"
#include "mem/memfd.hh"
#include "ring/layout.hh"
#include "vale/fence.hh"

namespace unetmap::daemon {

struct Port;

// A number other than `before` that no client can have foreseen: for words that tell by another value that something
// has changed. A vandal that had written the next value beforehand would have made it look old.
uint32_t unguessable(uint32_t before);

class Switch {
 public:
  // An empty name: memory for ports that are on no switch.
  static Result<std::shared_ptr<Switch>> create(std::string name);

  const std::string& name() const { return name_; }
  int fd() const { return fd_.get(); }
  SwitchShared& shared() const { return *reinterpret_cast<SwitchShared*>(map_.data()); }

  struct Record {
    Port* port = nullptr;  // whose index it is; nullptr while free
    std::string name;      // by which others can be mirrored to it
    uint32_t generation = 0;
    uint32_t flags = 0;
    uint16_t rx_rings = 0, header_len = 0;
    uint16_t monitors[kMaxMonitors] = {};  // index + 1
    uint32_t group = 0;                    // isolated; 0: none
    vale::FenceRules fence;
    std::shared_ptr<const RuleSettings> rules;  // nullptr: none
    uint32_t rules_version = 0;
    std::vector<uint64_t> acl_words[2];  // in and out, and where they are in SwitchShared::acl
    uint32_t acl_at[2] = {};

    std::string mirror;        // what is set: the port that is to see what passes this one
    uint16_t mirrored_to = 0;  // and the port that does, index + 1; 0: none
    bool floods_else = false;  // of a port that others are mirrored to: whether it takes part in flooding otherwise

    PortSettings settings() const {
      return {fence, group, bool(flags & kPortLossless), bool(flags & kPortExchanges), rules ? *rules : RuleSettings(),
              mirror};
    }
  };

  // Takes the lowest free index from `lowest` on. ENOMEM when there is none. `name`: empty if it is to be nobody's
  // mirror.
  Result<uint16_t> add(Port* port, std::string name, uint16_t rx_rings, uint32_t flags, uint16_t lowest = 0);
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
  // ENOSPC, and nothing changed, where the lists are longer than all of a switch's may be.
  Result<void> set_rules(uint16_t index, const RuleSettings& rules);
  // Port `index` shows what passes it to the port named so, whenever there is one. False where it has as many monitors
  // as it can.
  bool set_mirror(uint16_t index, const std::string& to);
  // A port has come, or is about to go: what others are to show it, it gets, or does not any more.
  void note_mirrors_to(uint16_t index, bool there);
  void set_flag(uint16_t index, uint32_t flag, bool on);
  void set_flood(uint16_t index, bool on);
  // False when the port has as many monitors as it can.
  bool add_monitor(uint16_t index, uint16_t monitor);
  void remove_monitor(uint16_t index, uint16_t monitor);
  // Port `index` is told of all packets from now on, until it is removed.
  void set_tap(uint16_t index);
  // nullptr: the switch has no tap.
  const Record* tap() const { return tap_ ? find(tap_ - 1) : nullptr; }

  // Everything that clients have no business to write, written again where it differs. True if something did; then the
  // addresses that were learned are forgotten.
  bool restore();

 private:
  Switch() = default;
  bool write_entry(uint16_t index);
  void stop_mirror(uint16_t index);
  bool begin_mirror(uint16_t index, uint16_t to);
  bool write_rules(uint16_t index);
  std::optional<uint32_t> place_for_acl(uint32_t words) const;
  void note_rules();
  bool write_flood();
  void leave_flood(uint16_t index);
  bool empty(uint64_t from, uint64_t end);
  bool addresses_make_sense() const;
  void bump_topology();

  std::string name_;
  UniqueFd fd_;
  mem::Mapping map_;
  std::vector<Record> records_;  // port_limit of them
  uint32_t ever_used_ = 0;       // indices that ever were a port's
  // Of the port made last. No two ports of a switch share one, of whatever index: an entry of the forwarding table
  // whose port was garbled so never means another one.
  uint32_t generation_ = 0;
  std::vector<uint16_t> flood_;
  uint32_t ports_ = 0, lossless_ = 0, topology_ = 0;
  uint32_t tap_ = 0;    // index + 1
  uint32_t rules_ = 0;  // SwitchRules
  bool had_vlans_ = false;
  uint64_t seed_ = 0;
};

}  // namespace unetmap::daemon
