// SPDX-License-Identifier: BSD-2-Clause
// Rules of ports: any instructions as an access list, held against libpcap's own interpreter; any text as a setting;
// any frames through a switch whose ports have rules, held against one that has each frame by itself.
//
// Input: byte 0 says which of these (below); each reads the rest as it needs it, and zeros behind its end.
#include <pcap/pcap.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/switch/rule_settings.hh"
#include "require.hh"
#include "vale/rules/port_rules.hh"
#include "vale/test_switch.hh"

namespace {

using namespace unetmap;
using namespace unetmap::vale;
using unetmap::fuzz::require;

struct Input {
  const uint8_t* at;
  size_t left;
  uint8_t byte() { return left ? left--, *at++ : 0; }
  uint32_t number(int bytes) {
    uint32_t out = 0;
    while (bytes-- > 0) out = out << 8 | byte();
    return out;
  }
};

// --- programs ---

// libpcap does not clear the words of its memory: they are stored to before anything else is done.
bool libpcap_takes(const std::vector<FilterInstruction>& program, const std::vector<uint8_t>& frame, uint32_t bytes) {
  std::vector<bpf_insn> out;
  for (uint32_t word = 0; word < BPF_MEMWORDS; word++) out.push_back({BPF_ST, 0, 0, word});
  for (const FilterInstruction& each : program) out.push_back({each.code, each.jt, each.jf, each.k});
  require(bpf_validate(out.data(), int(out.size())), "what is a program is one to libpcap");
  return bpf_filter(out.data(), frame.data(), bytes, uint32_t(frame.size())) != 0;
}

bool expected_of(const std::vector<AclRule>& rules, const std::vector<uint8_t>& frame, uint32_t bytes) {
  for (const AclRule& rule : rules)
    if (rule.program.empty() || libpcap_takes(rule.program, frame, bytes)) return !rule.deny;
  return std::all_of(rules.begin(), rules.end(), [](const AclRule& rule) { return rule.deny; });
}

void try_programs(Input in) {
  std::vector<uint64_t> words;
  std::vector<AclRule> rules(1 + in.byte() % 3);
  bool valid = true;
  for (AclRule& rule : rules) {
    const uint8_t head = in.byte();
    rule.deny = head & 1;
    words.push_back(uint64_t{rule.deny} << 32 | (head >> 1) % 32);
    for (int i = 0; i < (head >> 1) % 32; i++) {
      // Codes of more than a byte are none.
      const uint8_t code = in.byte(), jt = in.byte(), jf = in.byte();
      rule.program.push_back({code, jt, jf, in.number(4)});
      words.push_back(rule.program.back().pack());
    }
    valid = valid && (rule.program.empty() || FilterProgram::valid(rule.program));
  }
  auto list = Acl::from_words(words);
  require(list.has_value() == valid, "a list is one whose programs are");
  if (!list) return;
  require(list->words() == words, "a list is the words that it came from");
  std::vector<uint8_t> buffer(LookedAt::kBytes + 256, 0xa5);
  for (int i = 0; i < 16 && in.left; i++) {
    // What is behind a frame is not cleared between them, as in a ring's buffer.
    const uint32_t have = std::min<uint32_t>(in.byte(), 250), bytes = have + (in.byte() & 1) * 1000;
    std::vector<uint8_t> frame(have);
    for (uint8_t& byte : frame) byte = in.byte();
    std::copy(frame.begin(), frame.end(), buffer.begin());
    const bool expected = expected_of(rules, frame, bytes);
    require(Acl(rules).allows(frame, bytes, have) == expected, "a list says what libpcap says");
    require(list->allows({buffer.data(), have}, bytes, uint32_t(buffer.size())) == expected,
            "what a list remembers makes no difference");
  }
}

// --- settings ---

void try_settings(Input in) {
  const char* const keys[] = {"vlan", "link_local", "acl_in", "acl_out"};
  const std::string key = keys[in.byte() % 4];
  const std::string text(reinterpret_cast<const char*>(in.at), in.left);
  Json value = text;
  if (key.starts_with("acl")) {
    value = parse_json(text);
    if (value.is_discarded()) return;
  }
  daemon::RuleSettings settings, again;
  Result<void> done, done_again;
  require(daemon::change_rules(settings, key, value, done), "a key of ours");
  if (!done) return;
  Json shown = Json::object(), shown_again = Json::object();
  daemon::add_rules(settings, true, shown);
  for (const auto& [name, member] : shown.items())
    require(daemon::change_rules(again, name, member, done_again) && done_again, "what is shown can be set");
  daemon::add_rules(again, true, shown_again);
  require(shown == shown_again, "and is the same then");
  require(settings.vlan.mode == again.vlan.mode && settings.vlan.vid == again.vlan.vid &&
              settings.vlan.carried == again.vlan.carried && settings.link_local == again.link_local,
          "to the last VLAN");
}

// --- a switch ---

constexpr uint32_t kPorts = 4, kBufSize = 256, kSmallBuffer = 128, kSlots = 128;
constexpr uint16_t kVids[] = {0, 10, 20, 4094};

struct Switch {
  explicit Switch(Input& in) : garbage(in.byte() % 8 == 0), header(in.byte() & 1 ? 12 : 0) {
    for (uint32_t i = 0; i < kPorts; i++) {
      // One has room for less, and its senders wait.
      const bool small = i == 2;
      testing::TestPort& port =
          sw.add(kSlots, small ? kPortFlood | kPortLossless : kPortFlood, small ? kSmallBuffer : kBufSize);
      sw.shared->port[i].header_len = header;
      RulesEntry& entry = sw.shared->ruled[i];
      entry.version = 1;
      entry.vlan = garbage ? in.number(4) : uint32_t{in.byte()} % 4 << 16 | kVids[in.byte() % 4];
      entry.link_local = garbage ? in.number(4) : in.byte() % 4 ? 0 : 0x4001;
      const uint8_t carried = in.byte();
      for (uint32_t k = 0; k < std::size(kVids); k++)
        if (carried >> k & 1) entry.vlans[kVids[k] / 64] |= uint64_t{1} << kVids[k] % 64;
      for (int direction = 0; direction < 2; direction++) list(in, entry, direction);
      sw.shared->port[port.index].flags |= kPortRuled;
      sw.shared->rules |= kRulesVlan | (entry.link_local ? kRulesLinkLocal : 0u);
    }
    sw.shared->topology++;
    RulesOfPorts read(sw.shared);
    read.begin();
    for (uint16_t i = 0; i < kPorts; i++) rules.push_back(read.of(i));
  }

  void list(Input& in, RulesEntry& entry, int direction) {
    std::vector<uint64_t> words;
    const uint8_t form = in.byte(), at = in.byte() % 80, value = in.byte() % 4;
    if (garbage) {
      for (int i = 0; i < form % 16; i++) words.push_back(uint64_t{in.number(4)} << 32 | in.number(4));
      entry.acl_at[direction] = form & 0x80 ? in.number(4) : next_word;
      entry.acl_words[direction] = form & 0x40 ? in.number(4) : uint32_t(words.size());
    } else {
      std::vector<AclRule> made;
      const bool deny = form & 1;
      if (form & 2) made.push_back({deny, {{0x30, 0, 0, at}, {0x15, 0, 1, value}, {0x06, 0, 0, 1}, {0x06, 0, 0, 0}}});
      if (form & 4)  // of how long it is
        made.push_back({deny, {{0x80, 0, 0, 0}, {0x35, 0, 1, 60u + value * 60}, {0x06, 0, 0, 1}, {0x06, 0, 0, 0}}});
      if ((form & 0x18) == 0x18) made.push_back({!deny, {}});
      words = Acl(std::move(made)).words();
      entry.acl_at[direction] = next_word;
      entry.acl_words[direction] = uint32_t(words.size());
    }
    for (uint64_t word : words) sw.shared->acl[next_word++] = word;
    if (entry.acl_words[direction]) sw.shared->rules |= kRulesAcl | (direction ? kRulesAclOut : 0u);
  }

  testing::TestSwitch sw;
  const bool garbage;
  const uint16_t header;
  uint32_t next_word = 0;
  std::vector<PortRules> rules;
};

std::string leaves_as(std::string frame, TagChange change) {
  const uint8_t vid[2] = {uint8_t(change.vid >> 8), uint8_t(change.vid)};
  switch (change.kind) {
    case TagChange::kNone:
      break;
    case TagChange::kPush:
    case TagChange::kPushService:
      frame.insert(
          12, std::string(change.kind == TagChange::kPush ? "\x81\x00" : "\x88\xa8", 2) + char(vid[0]) + char(vid[1]));
      break;
    case TagChange::kPop:
      frame.erase(12, 4);
      break;
    case TagChange::kRetag:
      frame[14] = char((frame[14] & 0xf0) | vid[0]);
      frame[15] = char(vid[1]);
      break;
  }
  return frame;
}

// What the switch shall do with a frame, one at a time, nothing remembered.
struct Expected {
  explicit Expected(Switch& of) : of(of) {}
  static bool allows(Acl list, const std::string& frame) {
    return list.allows({reinterpret_cast<const uint8_t*>(frame.data()), frame.size()}, uint32_t(frame.size()), 0);
  }
  void send(uint16_t from, const std::string& frame) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(frame.data());
    const uint64_t to = load_mac(bytes), source = load_mac(bytes + 6);
    PortRules& own = of.rules[from];
    if (own.stops(to)) return void(stopped[from]++);
    if (!own.in.empty() && !allows(own.in, frame)) return void(denied[from]++);
    const uint16_t form = own.vlan.classify({bytes, std::min<size_t>(frame.size(), kLeastTagged)});
    if (form == VlanForm::kRefused) return void(wrong_vlan[from]++);
    const uint16_t vid = VlanForm::vid(form);
    // An address of zeros at the first port is what an empty place of the table looks like.
    if (!is_multicast(source) && (source != 0 || from != 0)) table[{vid, source}] = from;
    const auto known = is_multicast(to) ? table.end() : table.find({vid, to});
    const bool flood = known == table.end() || (known->second != from && !of.rules[known->second].vlan.has(vid));
    if (!flood && known->second == from) return;
    for (uint16_t port = 0; port < kPorts; port++) {
      PortRules& theirs = of.rules[port];
      if (port == from || (!flood && port != known->second) || !theirs.vlan.has(vid)) continue;
      const std::string out = leaves_as(frame, theirs.vlan.change(form));
      if (theirs.stops(to))
        stopped[from]++;
      else if (!theirs.out.empty() && !allows(theirs.out, out))
        denied[from]++;
      else
        came[port].push_back(out);
    }
  }
  Switch& of;
  std::map<std::pair<uint16_t, uint64_t>, uint16_t> table;
  std::vector<std::string> came[kPorts];
  uint64_t stopped[kPorts] = {}, denied[kPorts] = {}, wrong_vlan[kPorts] = {};
};

std::string some_frame(Input& in) {
  const uint8_t to = in.byte(), from = in.byte(), tag = in.byte(), size = in.byte();
  std::string frame = testing::frame(to % 8 == 7 ? 0xff : to % 8, from % 4, 14 + size % 128 + (size & 0x80) * 3);
  if (to % 8 == 6) frame.replace(0, 6, std::string("\x01\x80\xc2\x00\x00", 5) + char(to & 0x10 ? 0x0e : 0));
  for (size_t i = 14; i < frame.size(); i++) frame[i] = 0;
  if (tag & 3) {
    const uint16_t vid = kVids[tag >> 2 & 3];
    frame.insert(12, std::string(tag & 2 ? "\x81\x00" : "\x88\xa8", 2) + char((tag & 0xe0) | vid >> 8) + char(vid));
    if (tag & 16) frame.resize(std::min<size_t>(frame.size(), 14 + tag % 8));
  }
  frame[std::min<size_t>(frame.size() - 1, in.byte() % 80)] = char(in.byte() % 4);
  return frame;
}

void try_switch(Input in) {
  Switch of(in);
  Expected expected(of);
  for (int batch = 0; batch < 4 && in.left; batch++) {
    const auto from = uint16_t(in.byte() % kPorts);
    testing::TestPort& port = *of.sw.ports[from];
    std::string last;
    for (int i = in.byte() % 16; i >= 0; i--) {
      const uint8_t again = in.byte();
      if (last.empty() || again % 4 == 0) {
        last = some_frame(in);
      } else if (last.size() > 20) {
        last[18 + again % std::min<size_t>(last.size() - 18, 60)] = char(again % 3);
      }
      if (!of.garbage) expected.send(from, last);
      // In as many slots as it takes, or two.
      const std::string whole = std::string(of.header, 0) + last;
      const size_t first = again & 0x80 ? 1 + again % std::min<size_t>(whole.size() - 1, port.buf_size) : port.buf_size;
      for (size_t at = 0, part = first; at < whole.size(); at += part, part = port.buf_size)
        of.sw.queue(port, whole.substr(at, part), at + part < whole.size() ? NS_MOREFRAG : 0);
    }
    for (int rounds = 0; port.hwcur != port.tx_head; rounds++) {
      require(rounds < 64, "a switch goes on");
      of.sw.send(port);
      for (uint16_t to = 0; to < kPorts; to++)
        for (const std::string& got : of.sw.receive(*of.sw.ports[to])) {
          require(got.size() > of.header, "a frame behind its header");
          if (of.garbage) continue;
          auto& left = expected.came[to];
          require(!left.empty() && left.front() == got.substr(of.header), "the frames that it shall have, in order");
          left.erase(left.begin());
        }
    }
    if (of.garbage) continue;
    for (uint16_t i = 0; i < kPorts; i++) {
      require(expected.came[i].empty(), "all that it shall have");
      const TxKring& tx = of.sw.ports[i]->tx;
      // Where both a list and the VLAN refuse a frame that is like the one before it, either may be the cause.
      require(tx.lost_acl <= expected.denied[i] && tx.lost_link_local == expected.stopped[i] &&
                  tx.lost_acl + tx.lost_vlan == expected.denied[i] + expected.wrong_vlan[i],
              "what is lost is counted under its cause");
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  void (*const tries[])(Input) = {try_programs, try_settings, try_switch};
  tries[data[0] % 3]({data + 1, size - 1});
  return 0;
}
