// SPDX-License-Identifier: BSD-2-Clause
// The kernel's shortcuts between attached interfaces (interface/shortcuts.hh): a table for each switch and namespace.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/interface/shortcuts.hh"
#include "daemon/port/port.hh"

namespace unetmap::daemon {

constexpr uint32_t kTapHeaderBytes = 12;  // virtio-net, in front of every frame of an attached interface's tap

class ShortcutTables {
 public:
  // Where an attachment takes part.
  struct Place {
    std::string table;    // key of its table; empty: it takes part in none
    uint32_t member = 0;  // which it is there
  };
  // Where there can be no table, all frames go by the switch.
  Place join(const std::string& key);
  void leave(const Place& place);
  int fd(const Place& place) const { return tables_.find(place.table)->second->fd(); }
  // What passed the switch by there.
  fast_member counted(const Place& place) const { return tables_.find(place.table)->second->counted(place.member); }

  // Attached, and up.
  struct Member {
    Place place;
    const Port* port;
  };
  // Has the tables agree with what the switches have learned: to be called again and again while any(), and when
  // something is set on a port. Once no frame has come for some seconds there are none, until wake().
  static constexpr uint32_t kRest_s = 5;
  void refresh(const std::vector<Member>& members);
  bool any() const;
  void wake() { rest_ = false; }

 private:
  bool fill(const std::string& key, Shortcuts& table, const std::vector<Member>& members, uint32_t now_s);

  std::map<std::string, std::unique_ptr<Shortcuts>> tables_;  // by switch and namespace
  bool rest_ = true;
};

}  // namespace unetmap::daemon
