// SPDX-License-Identifier: BSD-2-Clause
// Frames between network interfaces of one switch need not leave the kernel: what the switch has learned of them is
// copied, several times a second, into a table that the programs of their keepers look into (wire/fast_table.h).
//
// The switch goes on learning: from the first frames, and from whatever the table does not lead anywhere. An address
// that is no more, or is elsewhere now, leaves the table at the next look. Ports that somebody watches, or whose frames
// the switch is to check, are left out: theirs all pass the switch.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/fd.hh"
#include "base/result.hh"
#include "daemon/event_loop.hh"
#include "daemon/switch.hh"
#include "mem/memfd.hh"
#include "wire/fast_table.h"

namespace unetmap::daemon {

// One table.
class ShortcutTable {
 public:
  // EPERM without CAP_BPF.
  static Result<std::unique_ptr<ShortcutTable>> create();
  ~ShortcutTable();
  ShortcutTable(const ShortcutTable&) = delete;
  ShortcutTable& operator=(const ShortcutTable&) = delete;

  int fd() const { return fd_.get(); }
  // A free place for an interface; nothing when there is none.
  std::optional<uint32_t> reserve();
  // Its interface is port `index` of the switch from now on.
  void join(uint32_t member, uint16_t index);
  void leave(uint32_t member);
  bool empty() const { return reserved_ == 0; }
  bool of_use() const { return joined_ > 1; }
  fast_member counters(uint32_t member) const;

  // Makes the table say what the switch knows by now.
  void follow(const Switch& sw);

 private:
  ShortcutTable() = default;
  static constexpr uint16_t kNone = 0xffff, kReserved = 0xfffe;
  fast_bucket* buckets_ = nullptr;  // then members
  UniqueFd fd_;
  std::array<uint16_t, FAST_MEMBERS> port_;  // of each member: index on the switch
  uint32_t reserved_ = 0, joined_ = 0;
};

// All of them, kept up to date while they are of use.
class Shortcuts {
 public:
  explicit Shortcuts(EventLoop& loop) : loop_(loop) {}
  ~Shortcuts();

  struct Place {
    std::string table;
    uint32_t member = 0;
  };
  // For an interface about to be attached to switch `name`, in a network namespace. Nothing where the kernel has no
  // such tables for us, or all places are taken.
  std::optional<Place> reserve(const std::string& name_space, const std::string& name);
  int table_fd(const Place& place) const { return tables_.at(place.table).table->fd(); }
  void join(const Place& place, std::shared_ptr<Switch> sw, uint16_t index);
  void leave(const Place& place);
  fast_member counters(const Place& place) const { return tables_.at(place.table).table->counters(place.member); }

 private:
  struct Entry {
    std::unique_ptr<ShortcutTable> table;
    std::weak_ptr<Switch> sw;
  };
  void look();
  void look_again();
  EventLoop& loop_;
  std::map<std::string, Entry> tables_;
  uint64_t timer_ = 0;
};

}  // namespace unetmap::daemon
