// SPDX-License-Identifier: BSD-2-Clause
// Mirrors: ports that are ports like any other, and see besides what passes others, as monitors do. While any is
// mirrored to a port, it is flooded nothing: it has seen that.
#include <algorithm>

#include "daemon/switch/switch.hh"

namespace unetmap::daemon {

constexpr uint32_t kSeesBoth = kPortMonitorTx | kPortMonitorRx;

bool Switch::begin_mirror(uint16_t index, uint16_t to) {
  if (!add_monitor(index, to)) return false;
  records_[index].mirrored_to = uint16_t(to + 1);
  Record& target = records_[to];
  const bool floods = target.flags & kPortFlood;
  if (!(target.flags & kSeesBoth)) {
    set_flood(to, false);
    target.floods_else = floods;
    set_flag(to, kSeesBoth, true);
  }
  return true;
}

void Switch::stop_mirror(uint16_t index) {
  const uint16_t at = std::exchange(records_[index].mirrored_to, uint16_t{0});
  if (at == 0) return;
  const auto to = uint16_t(at - 1);
  remove_monitor(index, to);
  const bool others = std::any_of(records_.begin(), records_.end(),
                                  [&](const Record& each) { return each.port && each.mirrored_to == at; });
  if (others || !find(to)) return;
  set_flag(to, kSeesBoth, false);
  set_flood(to, records_[to].floods_else);
}

bool Switch::set_mirror(uint16_t index, const std::string& to) {
  if (records_[index].mirror == to) return true;
  stop_mirror(index);
  records_[index].mirror = to;
  if (to.empty()) return true;
  for (uint32_t i = 0; i < limit(); i++)
    if (records_[i].port && records_[i].name == to) return begin_mirror(index, uint16_t(i));
  return true;
}

void Switch::note_mirrors_to(uint16_t index, bool there) {
  const std::string name = records_[index].port ? records_[index].name : "";
  for (uint32_t i = 0; i < limit(); i++) {
    Record& record = records_[i];
    if (!record.port || i == index) continue;
    if (!there && record.mirrored_to == index + 1) stop_mirror(uint16_t(i));
    if (there && record.mirrored_to == 0 && !record.mirror.empty() && record.mirror == name)
      (void)begin_mirror(uint16_t(i), index);
  }
}

}  // namespace unetmap::daemon
