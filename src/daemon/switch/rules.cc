// SPDX-License-Identifier: BSD-2-Clause
// The rules of a switch's ports, in its shared memory: each port has a RulesEntry, and all their access lists lie in
// one array of words.
#include <fmt/core.h>

#include <algorithm>

#include "daemon/switch/switch.hh"

namespace unetmap::daemon {
namespace {

std::vector<uint64_t> words_of(const std::vector<RuleSettings::Line>& lines) {
  std::vector<vale::AclRule> rules;
  for (const RuleSettings::Line& line : lines) rules.push_back(line.rule);
  return vale::Acl(std::move(rules)).words();
}

}  // namespace

// The lowest that is free for so many.
std::optional<uint32_t> Switch::place_for_acl(uint32_t words) const {
  std::vector<std::pair<uint32_t, uint32_t>> taken;
  for (const Record& record : records_)
    for (int i = 0; i < 2; i++)
      if (!record.acl_words[i].empty())
        taken.emplace_back(record.acl_at[i], record.acl_at[i] + uint32_t(record.acl_words[i].size()));
  std::sort(taken.begin(), taken.end());
  uint32_t at = 0;
  for (const auto& [from, end] : taken) {
    if (from - at >= words) break;
    at = end;
  }
  return kAclWords - at >= words ? std::optional(at) : std::nullopt;
}

Result<void> Switch::set_rules(uint16_t index, const RuleSettings& rules) {
  Record& record = records_[index];
  std::vector<uint64_t> before[2] = {std::move(record.acl_words[0]), std::move(record.acl_words[1])};
  const uint32_t at_before[2] = {record.acl_at[0], record.acl_at[1]};
  const std::vector<RuleSettings::Line>* lists[2] = {&rules.in, &rules.out};
  for (int i = 0; i < 2; i++) record.acl_words[i].clear();
  for (int i = 0; i < 2; i++) {
    std::vector<uint64_t> words = words_of(*lists[i]);
    const auto at = words.size() <= kAclWords ? place_for_acl(uint32_t(words.size())) : std::nullopt;
    if (!at) {
      for (int k = 0; k < 2; k++) {
        record.acl_words[k] = std::move(before[k]);
        record.acl_at[k] = at_before[k];
      }
      return Error{ENOSPC, fmt::format("{}: the access lists of its ports together are longer than they can be; use "
                                       "simpler rules",
                                       name_)};
    }
    record.acl_words[i] = std::move(words);
    record.acl_at[i] = *at;
  }
  record.rules = rules.any() ? std::make_shared<const RuleSettings>(rules) : nullptr;
  record.rules_version = unguessable(record.rules_version);
  if (record.rules) write_rules(index);
  set_flag(index, kPortRuled, rules.any());
  note_rules();
  bump_topology();
  return {};
}

// Where something differs, senders are told before and after: what they read in between is of no version.
bool Switch::write_rules(uint16_t index) {
  const Record& record = records_[index];
  RulesEntry& entry = shared().ruled[index];
  bool begun = false;
  auto put = [&](auto& at, auto value) {
    if (at.load(std::memory_order_relaxed) == value) return;
    if (!begun) {
      entry.version.store(0, std::memory_order_relaxed);
      std::atomic_thread_fence(std::memory_order_release);
      begun = true;
    }
    at.store(value, std::memory_order_relaxed);
  };
  const vale::VlanRules& vlan = record.rules->vlan;
  put(entry.vlan, uint32_t(vlan.mode) << 16 | vlan.vid);
  put(entry.link_local, uint32_t{record.rules->link_local});
  for (size_t i = 0; i < vlan.carried.size(); i++) put(entry.vlans[i], vlan.carried[i]);
  for (int i = 0; i < 2; i++) {
    const std::vector<uint64_t>& words = record.acl_words[i];
    put(entry.acl_at[i], record.acl_at[i]);
    put(entry.acl_words[i], uint32_t(words.size()));
    for (size_t k = 0; k < words.size(); k++) put(shared().acl[record.acl_at[i] + k], words[k]);
  }
  const bool differed = begun || entry.version.load(std::memory_order_relaxed) != record.rules_version;
  entry.version.store(record.rules_version, std::memory_order_release);
  return differed;
}

// What of it some port has.
void Switch::note_rules() {
  rules_ = 0;
  for (const Record& record : records_) {
    if (!record.port || !record.rules) continue;
    const RuleSettings& rules = *record.rules;
    if (rules.vlan.mode != vale::VlanMode::kNone) rules_ |= kRulesVlan;
    if (!rules.in.empty() || !rules.out.empty()) rules_ |= kRulesAcl;
    if (!rules.out.empty()) rules_ |= kRulesAclOut;
    if (rules.link_local) rules_ |= kRulesLinkLocal;
  }
  had_vlans_ = had_vlans_ || (rules_ & kRulesVlan);
  if (shared().rules.load(std::memory_order_relaxed) != rules_) shared().rules.store(rules_, std::memory_order_relaxed);
}

}  // namespace unetmap::daemon
