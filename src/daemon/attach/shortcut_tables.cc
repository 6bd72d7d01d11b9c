// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/attach/shortcut_tables.hh"

#include <algorithm>
#include <ctime>
#include <unordered_map>
#include <utility>

#include "vale/fdb.hh"

namespace unetmap::daemon {
namespace {

// Frames that take a shortcut are seen by no monitor, tap, fence or rule: ports that have any take none.
bool may_take_part(const Port& port) {
  const Switch::Record& record = *port.record();
  bool watched = port.sw->tap() ||
                 std::any_of(std::begin(record.monitors), std::end(record.monitors), [](uint16_t m) { return m != 0; });
  return !watched && port.sw->shared().rules.load(std::memory_order_relaxed) == 0 && record.group == 0 &&
         !(record.flags & (kPortFenced | kPortLossless)) && record.header_len == kTapHeaderBytes;
}

}  // namespace

ShortcutTables::Place ShortcutTables::join(const std::string& key) {
  auto& table = tables_[key];
  if (!table) {
    auto made = Shortcuts::create();
    if (!made) {
      tables_.erase(key);
      return {};
    }
    table = std::move(*made);
  }
  auto member = table->take_member();
  return member ? Place{key, *member} : Place{};
}

void ShortcutTables::leave(const Place& place) {
  auto found = tables_.find(place.table);
  if (found == tables_.end()) return;
  found->second->free_member(place.member);
  if (found->second->members() > 0) return;
  found->second->fill({});  // the last one's keeper has it still
  tables_.erase(found);
}

bool ShortcutTables::any() const {
  return !rest_ && std::any_of(tables_.begin(), tables_.end(), [](auto& entry) { return entry.second->members() > 1; });
}

void ShortcutTables::refresh(const std::vector<Member>& members) {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
  rest_ = true;
  for (auto& [key, table] : tables_) rest_ = fill(key, *table, members, uint32_t(t.tv_sec)) && rest_;
}

// True if none of its stations has been heard for a while.
bool ShortcutTables::fill(const std::string& key, Shortcuts& table, const std::vector<Member>& all, uint32_t now_s) {
  std::shared_ptr<Switch> sw;
  std::unordered_map<uint16_t, uint32_t> members;  // by port
  std::vector<uint16_t> busy;
  for (const Member& each : all) {
    if (each.place.table != key || !may_take_part(*each.port)) continue;
    const uint16_t index = each.port->info.index;
    sw = each.port->sw;
    members[index] = each.place.member;
    if (table.busy(each.place.member)) busy.push_back(index);
  }
  std::vector<Shortcuts::Station> stations;
  bool rest = true;
  if (members.size() > 1) {
    vale::Fdb fdb(&sw->shared());
    std::vector<std::pair<uint64_t, uint16_t>> heard;
    fdb.each(now_s, [&](uint64_t address, uint16_t port, uint32_t age_s, uint16_t) {
      auto member = members.find(port);
      if (member == members.end()) return;
      stations.push_back({address, member->second});
      bool passing = std::count(busy.begin(), busy.end(), port) != 0;
      if (passing) heard.emplace_back(address, port);
      if (passing || age_s < kRest_s) rest = false;
    });
    // The switch does not hear them any more, and shall not forget them.
    for (auto& [address, port] : heard)
      if (const Switch::Record* record = sw->find(port); record && fdb.lookup(address, now_s) == port)
        fdb.learn(address, port, record->generation, now_s);
  }
  // Then the next frame goes by its worker, which says so.
  if (rest) stations.clear();
  table.fill(stations);
  return rest;
}

}  // namespace unetmap::daemon
