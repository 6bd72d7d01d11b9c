// SPDX-License-Identifier: BSD-2-Clause
#include "vale/rules/port_rules.hh"

#include <algorithm>

namespace unetmap::vale {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

// Foreign input: any words make a list, if only one that allows nothing.
Acl read_acl(const SwitchShared& shared, uint32_t at, uint32_t count) {
  if (count == 0) return {};
  if (at > kAclWords || count > kAclWords - at) return Acl::nothing();
  std::vector<uint64_t> words(count);
  for (uint32_t i = 0; i < count; i++) words[i] = shared.acl[at + i].load(kRelaxed);
  return Acl::from_words(words).value_or(Acl::nothing());
}

}  // namespace

// nullptr: it is being changed at this moment.
std::unique_ptr<PortRules> RulesOfPorts::read(const SwitchShared& shared, uint16_t port, uint32_t version) {
  const RulesEntry& from = shared.ruled[port];
  auto out = std::make_unique<PortRules>();
  const uint32_t vlan = from.vlan.load(kRelaxed), mode = vlan >> 16;
  out->vlan.mode = mode < uint32_t(VlanMode::kEnd) ? VlanMode(mode) : VlanMode::kNone;
  out->vlan.vid = uint16_t(std::min<uint32_t>(vlan & 0xffff, kMostVid));
  for (size_t i = 0; i < out->vlan.carried.size(); i++) out->vlan.carried[i] = from.vlans[i].load(kRelaxed);
  out->link_local = uint16_t(from.link_local.load(kRelaxed));
  out->in = read_acl(shared, from.acl_at[0].load(kRelaxed), from.acl_words[0].load(kRelaxed));
  out->out = read_acl(shared, from.acl_at[1].load(kRelaxed), from.acl_words[1].load(kRelaxed));
  std::atomic_thread_fence(std::memory_order_acquire);
  return from.version.load(kRelaxed) == version ? std::move(out) : nullptr;
}

// Where they cannot be read just now: those of before; nothing passes where there are none of before. The topology
// changes once they can. Whatever is answered is the answer for all of a call.
PortRules& RulesOfPorts::look_up(uint16_t port) {
  if (port >= kMaxPorts) return none_;
  if (known_.empty()) known_.resize(kMaxPorts);
  if (!known_[port]) known_[port] = std::make_unique<Known>();
  Known& known = *known_[port];
  known.topology = topology_;
  known.rules = &none_;
  if (!(shared_->port[port].flags.load(kRelaxed) & kPortRuled)) {
    known.own.reset();
    return none_;
  }
  const uint32_t version = shared_->ruled[port].version.load(std::memory_order_acquire);
  if (version == 0 || version != known.version || !known.own) {
    auto now = version == 0 ? nullptr : read(*shared_, port, version);
    if (!now && !known.own) {
      now = std::make_unique<PortRules>();
      now->in = now->out = Acl::nothing();
      known.version = 0;
    } else if (now) {
      known.version = version;
    }
    if (now) known.own = std::move(now);
  }
  known.rules = known.own.get();
  return *known.rules;
}

}  // namespace unetmap::vale
