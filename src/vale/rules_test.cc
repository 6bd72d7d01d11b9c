// SPDX-License-Identifier: BSD-2-Clause
// A switch whose ports have rules, in plain memory: VLANs and tags in all forms of packets, lists, link-local frames.
#include <gtest/gtest.h>

#include <algorithm>

#include "vale/test_switch.hh"
#include "vale/vnet_hdr.hh"

namespace unetmap::vale::testing {
namespace {

class Rules : public ::testing::Test {
 protected:
  void SetUp() override {
    for (TestPort** port : {&a, &b, &c}) *port = &sw.add();
  }
  void vlan(TestPort& port, VlanMode mode, uint16_t vid, std::initializer_list<uint16_t> carried = {}) {
    RulesEntry& entry = sw.shared->ruled[port.index];
    entry.version = entry.version + 1;
    entry.vlan = uint32_t(mode) << 16 | vid;
    for (auto& word : entry.vlans) word = 0;
    for (uint16_t each : carried) entry.vlans[each / 64] |= uint64_t{1} << (each % 64);
    ruled(port, kRulesVlan);
  }
  void list(TestPort& port, int direction, const Acl& acl) {
    RulesEntry& entry = sw.shared->ruled[port.index];
    const auto words = acl.words();
    entry.version = entry.version + 1;
    entry.acl_at[direction] = next_word;
    entry.acl_words[direction] = uint32_t(words.size());
    for (uint64_t word : words) sw.shared->acl[next_word++] = word;
    ruled(port, kRulesAcl | (direction ? kRulesAclOut : 0u));
  }
  void ruled(TestPort& port, uint32_t which) {
    sw.shared->port[port.index].flags |= kPortRuled;
    sw.shared->rules |= which;
    sw.shared->topology++;
  }
  // A list that denies frames whose byte 20 is `value`.
  static Acl denying(uint32_t value) {
    return Acl({{.deny = true, .program = {{0x30, 0, 0, 20}, {0x15, 0, 1, value}, {0x06, 0, 0, 1}, {0x06, 0, 0, 0}}}});
  }
  std::vector<std::string> sent(const std::string& frame, TestPort& from, TestPort& to) {
    sw.queue(from, frame);
    sw.send(from);
    return sw.receive(to);
  }
  static std::string tagged(std::string frame, uint16_t vid, const char* type = "\x81\x00") {
    const std::string tag = std::string(type, 2) + char(vid >> 8) + char(vid);
    return frame.insert(12, tag);
  }
  using Frames = std::vector<std::string>;

  TestSwitch sw;
  TestPort *a = nullptr, *b = nullptr, *c = nullptr;
  uint32_t next_word = 0;
};

TEST_F(Rules, AccessPortsAreApart) {
  vlan(*a, VlanMode::kAccess, 10);
  vlan(*b, VlanMode::kAccess, 20);
  EXPECT_EQ(sent(frame(0xff, 1), *a, *b), Frames{});
  EXPECT_EQ(sw.receive(*c), Frames{tagged(frame(0xff, 1), 10)});
  vlan(*b, VlanMode::kAccess, 10);
  EXPECT_EQ(sent(frame(0xff, 1), *a, *b), Frames{frame(0xff, 1)});
  sw.receive(*c);
  EXPECT_EQ(sent(tagged(frame(0xff, 1), 10), *a, *b), Frames{}) << "an access port takes no tags";
  EXPECT_EQ(a->tx.lost_vlan, 1u);
}

TEST_F(Rules, KnownAddressesAreOfTheirVlan) {
  vlan(*a, VlanMode::kAccess, 10);
  vlan(*b, VlanMode::kAccess, 10);
  sent(frame(0xff, 2), *b, *a);
  sw.receive(*c);
  EXPECT_EQ(sent(frame(2, 1), *a, *b), Frames{frame(2, 1)});
  EXPECT_EQ(sw.receive(*c), Frames{}) << "known, and not for everybody";
  // In another VLAN the address is not known; where its port has left the VLAN it is not either.
  sent(tagged(frame(2, 3), 11), *c, *a);
  EXPECT_EQ(sw.receive(*b), Frames{});
  vlan(*b, VlanMode::kAccess, 20);
  EXPECT_EQ(sent(frame(2, 1), *a, *b), Frames{});
  EXPECT_EQ(sw.receive(*c).size(), 1u);
}

// Frames of all lengths, one slot and several, with and without room for the tag in the buffer.
TEST_F(Rules, TagsComeAndGo) {
  vlan(*a, VlanMode::kAccess, 10);
  vlan(*b, VlanMode::kTrunk, 0, {10});
  for (size_t bytes : {14, 15, 17, 18, 60, 64, 300, 1514, 2043, 2044, 2045, 2048}) {
    const std::string plain = frame(0xff, 1, bytes);
    EXPECT_EQ(sent(plain, *a, *b), Frames{tagged(plain, 10)}) << bytes;
    if (bytes > 2044) continue;
    sw.receive(*c);
    EXPECT_EQ(sent(tagged(plain, 10), *b, *a), Frames{plain}) << bytes;
  }
  const std::string first = frame(0xff, 1, 1000), rest(2000, 'x');
  sw.queue(*a, first, NS_MOREFRAG);
  sw.queue(*a, rest);
  sw.send(*a);
  EXPECT_EQ(sw.receive(*b), Frames{tagged(first + rest, 10)});
  EXPECT_EQ(a->tx.lost_full, 0u);
}

// The sums that a header asks for are behind the tag.
TEST_F(Rules, HeadersMoveWithTheFrame) {
  for (auto* port : {a, b}) sw.shared->port[port->index].header_len = 12;
  vlan(*a, VlanMode::kAccess, 10);
  vlan(*b, VlanMode::kTrunk, 0, {10});
  std::string header(12, '\0');
  header[0] = kVnetNeedsCsum;
  header[6] = 34;
  header[8] = 16;
  std::string expected = header;
  expected[6] = 38;
  EXPECT_EQ(sent(header + frame(0xff, 1, 100), *a, *b), Frames{expected + tagged(frame(0xff, 1, 100), 10)});
  sw.receive(*c);
  EXPECT_EQ(sent(expected + tagged(frame(0xff, 2, 100), 10), *b, *a), Frames{header + frame(0xff, 2, 100)});
}

TEST_F(Rules, ManyInARow) {
  vlan(*a, VlanMode::kTrunk, 0, {10, 20});
  vlan(*b, VlanMode::kAccess, 10);
  vlan(*c, VlanMode::kAccess, 20);
  for (int i = 0; i < 600; i++) sw.queue(*a, tagged(frame(0xff, 1), i % 3 ? 10 : 20));
  sw.send(*a);
  EXPECT_EQ(sw.receive(*b).size(), 400u);
  EXPECT_EQ(sw.receive(*c).size(), 200u);
}

// Frames that follow like ones are not looked at in full: what becomes of them is what becomes of each by itself.
TEST_F(Rules, ManyAtOnceAreAsOneByOne) {
  vlan(*a, VlanMode::kTrunk, 5, {10, 20});
  vlan(*b, VlanMode::kAccess, 10);
  list(*a, 0, denying(5));
  list(*c, 1, denying(6));
  sent(frame(0xff, 2), *b, *c);
  uint32_t random = 1;
  auto next = [&](uint32_t below) { return (random = random * 1664525 + 1013904223) / 65536 % below; };
  std::vector<std::pair<std::string, uint16_t>> frames;
  while (frames.size() < 900) {
    std::string one = frame(next(4) ? 2 : 0xff, next(8) ? 1 : 4, 60 + next(3) * 100);
    one[16] = char(4 + next(3));  // behind the tag: 20
    if (next(8)) one = tagged(one, next(6) ? 10 : 20);
    if (next(16) == 0) one.resize(17 + next(3));
    // The same several times: runs of all lengths.
    const uint16_t flags = next(16) ? 0 : NS_NO_LEARN;
    for (uint32_t i = next(12); i < 12; i++) frames.emplace_back(one, flags);
  }
  auto arrived = [&](uint32_t at_once) {
    std::vector<Frames> out(2);
    for (size_t i = 0; i < frames.size(); i++) {
      sw.queue(*a, frames[i].first, frames[i].second);
      if ((i + 1) % at_once != 0 && i + 1 < frames.size()) continue;
      sw.send(*a);
      for (int to : {0, 1})
        for (std::string& each : sw.receive(to ? *c : *b)) out[to].push_back(std::move(each));
    }
    return out;
  };
  const std::vector<Frames> single = arrived(1);
  const uint64_t denied = a->tx.lost_acl, wrong = a->tx.lost_vlan, sent_bytes = a->tx.bytes;
  EXPECT_GT(single[0].size(), 100u);
  EXPECT_GT(single[1].size(), 100u);
  EXPECT_GT(denied, 100u);
  EXPECT_TRUE(arrived(300) == single);
  EXPECT_EQ(a->tx.lost_acl, 2 * denied);
  EXPECT_EQ(a->tx.lost_vlan, 2 * wrong);
  EXPECT_EQ(a->tx.bytes, 2 * sent_bytes);
}

// In shared memory there may be anything: also in the slots that follow a good one.
TEST_F(Rules, SlotsThatCannotBeEndARow) {
  vlan(*a, VlanMode::kAccess, 10);
  vlan(*b, VlanMode::kAccess, 10);
  for (int i = 0; i < 6; i++) sw.queue(*a, frame(0xff, 1));
  a->tx_slots[2].buf_idx = a->nbufs;
  a->tx_slots[4].len = uint16_t(a->buf_size + 1);
  sw.send(*a);
  EXPECT_EQ(sw.receive(*b).size(), 4u);
  EXPECT_EQ(a->tx.lost_buffer, 2u);
}

TEST_F(Rules, LossWithoutALossAtLosslessPorts) {
  TestPort& d = sw.add(16, kPortFlood | kPortLossless);
  vlan(*a, VlanMode::kAccess, 10);
  vlan(d, VlanMode::kTrunk, 0, {10});
  for (int i = 0; i < 100; i++) sw.queue(*a, frame(0xff, 1, i % 5 ? 60 : 2046));
  size_t got = 0;
  for (int round = 0; round < 100 && got < 100; round++) {
    sw.send(*a);
    got += sw.receive(d).size();
  }
  EXPECT_EQ(got, 100u);
  EXPECT_EQ(a->tx.lost_full, 0u);
}

TEST_F(Rules, ListsOfBothSides) {
  list(*a, 0, denying(5));
  list(*b, 1, denying(6));
  auto with = [](uint8_t to, char value) {
    std::string out = frame(to, 1);
    out[20] = value;
    return out;
  };
  sent(frame(0xff, 2), *b, *a);
  sw.receive(*c);
  for (uint8_t to : {uint8_t{2}, uint8_t{0xff}}) {
    for (char value : {4, 5, 6, 4, 7}) sw.queue(*a, with(to, value));
    sw.send(*a);
    EXPECT_EQ(sw.receive(*b), (Frames{with(to, 4), with(to, 4), with(to, 7)})) << int(to);
  }
  EXPECT_EQ(sw.receive(*c).size(), 4u) << "what its list denies b, others get";
  EXPECT_EQ(a->tx.lost_acl, 4u);
}

// In shared memory there may be anything.
TEST_F(Rules, AListThatCannotBeDeniesAll) {
  list(*b, 1, denying(6));
  sw.shared->acl[1] = ~uint64_t{0};
  sw.shared->ruled[b->index].version++;
  sw.shared->topology++;
  EXPECT_EQ(sent(frame(0xff, 1), *a, *b), Frames{});
  sw.shared->ruled[b->index].acl_at[1] = kAclWords;
  sw.shared->ruled[b->index].version++;
  sw.shared->topology++;
  EXPECT_EQ(sent(frame(0xff, 1), *a, *b), Frames{});
  EXPECT_EQ(sw.receive(*c).size(), 2u);
}

TEST_F(Rules, LinkLocalFramesAreStopped) {
  std::string lldp = frame(0xff, 1), stp;
  lldp.replace(0, 6, std::string("\x01\x80\xc2\x00\x00\x0e", 6));
  stp = lldp;
  stp[5] = 0;
  sw.shared->ruled[b->index].link_local = 1 << 14;
  sw.shared->ruled[b->index].version = 1;
  ruled(*b, kRulesLinkLocal);
  EXPECT_EQ(sent(lldp, *a, *b), Frames{});
  EXPECT_EQ(sent(stp, *a, *b), Frames{stp});
  EXPECT_EQ(sw.receive(*c), (Frames{lldp, stp}));
  EXPECT_EQ(a->tx.lost_link_local, 1u);
  EXPECT_EQ(sent(lldp, *b, *a), Frames{});
  EXPECT_EQ(b->tx.lost_link_local, 1u);
}

}  // namespace
}  // namespace unetmap::vale::testing
