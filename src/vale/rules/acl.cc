// SPDX-License-Identifier: BSD-2-Clause
#include "vale/rules/acl.hh"

#include <algorithm>
#include <cstring>

namespace unetmap::vale {
namespace {

// Before each rule's instructions.
constexpr uint64_t kDeny = uint64_t{1} << 32;

}  // namespace

Acl::Acl(std::vector<AclRule> rules) {
  for (AclRule& rule : rules) {
    Rule made{rule.deny, std::nullopt};
    if (!rule.program.empty()) made.program.emplace(std::move(rule.program));
    rules_.push_back(std::move(made));
  }
  allows_else_ = std::all_of(rules_.begin(), rules_.end(), [](const Rule& rule) { return rule.deny; });
}

std::vector<uint64_t> Acl::words() const {
  std::vector<uint64_t> out;
  for (const Rule& rule : rules_) {
    const auto program = rule.program ? rule.program->instructions() : std::span<const FilterInstruction>();
    out.push_back(program.size() | (rule.deny ? kDeny : 0));
    for (const FilterInstruction& each : program) out.push_back(each.pack());
  }
  return out;
}

std::optional<Acl> Acl::from_words(std::span<const uint64_t> words) {
  std::vector<AclRule> rules;
  for (size_t at = 0; at < words.size();) {
    const uint64_t head = words[at++];
    const auto count = uint32_t(head);
    if (rules.size() == kMostRules || count > words.size() - at) return std::nullopt;
    AclRule rule{.deny = (head & kDeny) != 0, .program = {}};
    for (uint32_t i = 0; i < count; i++) rule.program.push_back(FilterInstruction::unpack(words[at + i]));
    if (count > 0 && !FilterProgram::valid(rule.program)) return std::nullopt;
    rules.push_back(std::move(rule));
    at += count;
  }
  return Acl(std::move(rules));
}

bool Acl::judge(std::span<const uint8_t> start, uint32_t bytes, LookedAt& looked) const {
  for (const Rule& rule : rules_)
    if (!rule.program || rule.program->passes(start, bytes, looked)) return !rule.deny;
  return allows_else_;
}

// The frame lies in memory that others can write: a copy is looked at, so that what is remembered is what was decided.
bool Acl::decide(std::span<const uint8_t> start, uint32_t bytes, uint32_t readable) {
  LookedAt looked;
  last_ = nullptr;
  if (readable >= LookedAt::kBytes) {
    uint8_t first[LookedAt::kBytes];
    memcpy(first, start.data(), sizeof first);
    const bool allowed = judge({first, std::min(start.size(), sizeof first)}, bytes, looked);
    if (!looked.more) {
      Known& known = known_[next_++ % kKnown];
      memcpy(known.mask, looked.mask, sizeof known.mask);
      memcpy(known.value, first, sizeof known.value);
      for (int i = 0; i < 4; i++) known.value[i] &= known.mask[i];
      known.end = looked.end;
      known.allowed = allowed;
      last_ = &known;
      return allowed;
    }
  }
  return judge(start, bytes, looked);
}

}  // namespace unetmap::vale
