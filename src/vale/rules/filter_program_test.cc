// SPDX-License-Identifier: BSD-2-Clause
// Programs against libpcap's own interpreter; lists with and without what they remember; what is no program.
#include <gtest/gtest.h>
#include <pcap/pcap.h>

#include <random>

#include "vale/rules/acl.hh"

namespace unetmap::vale {
namespace {

constexpr const char* kExpressions[] = {
    "ip",
    "arp",
    "udp dst port 9",
    "tcp port 80 or udp port 53",
    "ip host 10.0.0.1 and not tcp",
    "net 10.0.0.0/8 and greater 100",
    "less 70",
    "ether host 02:00:00:00:00:01",
    "vlan 10 and ip",
    "vlan and vlan 7",
    "ip6 and ip6[6] = 6",
    "tcp[13] & 2 != 0",
    "icmp[icmptype] = icmp-echo",
    "ip[0] & 0xf > 5",
    "ip[6:2] & 0x1fff = 0 and udp[4:2] > 20",
    "ether[0] & 1 = 1 and ether[12:2] * 2 / 3 % 7 = 1",
    "tcp[((tcp[12] & 0xf0) >> 2):4] = 0x47455420",
    "ether proto 0x88cc",
    "portrange 1-1023",
};

std::vector<FilterInstruction> compiled(const char* expression, bpf_program* kept = nullptr) {
  pcap_t* type = pcap_open_dead(DLT_EN10MB, 65535);
  bpf_program program;
  EXPECT_EQ(pcap_compile(type, &program, expression, 1, PCAP_NETMASK_UNKNOWN), 0) << pcap_geterr(type);
  std::vector<FilterInstruction> out;
  for (unsigned i = 0; i < program.bf_len; i++)
    out.push_back({program.bf_insns[i].code, program.bf_insns[i].jt, program.bf_insns[i].jf, program.bf_insns[i].k});
  if (kept)
    *kept = program;
  else
    pcap_freecode(&program);
  pcap_close(type);
  return out;
}

// Frames that reach into the expressions: of the protocols that they are about, with a byte here and there that is not.
std::vector<uint8_t> some_frame(std::mt19937& random) {
  auto up_to = [&](uint32_t n) { return uint32_t(random() % n); };
  std::vector<uint8_t> out(14 + up_to(120));
  for (auto& byte : out) byte = uint8_t(up_to(4) ? up_to(16) : random());
  const uint16_t types[] = {0x0800, 0x0800, 0x0806, 0x86dd, 0x8100, 0x88a8, 0x88cc};
  size_t at = 12;
  for (int depth = 0; depth < 3 && at + 2 <= out.size(); depth++) {
    const uint16_t type = types[up_to(7)];
    out[at] = uint8_t(type >> 8);
    out[at + 1] = uint8_t(type);
    if (type != 0x8100 && type != 0x88a8) break;
    at += 4;
  }
  at += 2;
  const uint8_t protocols[] = {1, 6, 17, 58};
  if (at + 21 <= out.size()) {
    out[at] = uint8_t(0x45 + (up_to(4) ? 0 : up_to(10)));
    out[at + 6] = up_to(4) ? 0 : out[at + 6];
    out[at + 9] = protocols[up_to(4)];
    if (up_to(2)) out[at + 12] = 10;
  }
  return out;
}

TEST(FilterProgram, AgreesWithLibpcap) {
  std::mt19937 random(4711);
  for (const char* expression : kExpressions) {
    bpf_program theirs;
    const auto instructions = compiled(expression, &theirs);
    ASSERT_TRUE(FilterProgram::valid(instructions)) << expression;
    const FilterProgram ours(instructions);
    uint32_t taken = 0;
    for (int i = 0; i < 3000; i++) {
      const std::vector<uint8_t> frame = some_frame(random);
      const pcap_pkthdr header{{}, bpf_u_int32(frame.size()), bpf_u_int32(frame.size())};
      const bool expected = pcap_offline_filter(&theirs, &header, frame.data()) != 0;
      LookedAt looked;
      ASSERT_EQ(ours.passes(frame, uint32_t(frame.size()), looked), expected) << expression << ", frame " << i;
      taken += expected;
    }
    pcap_freecode(&theirs);
  }
}

// What a list remembers makes no difference to what it says.
TEST(Acl, RemembersRightly) {
  std::mt19937 random(42);
  for (const char* expression : kExpressions) {
    std::vector<AclRule> rules = {{.deny = true, .program = compiled("ether[20] = 3")},
                                  {.deny = false, .program = compiled(expression)}};
    Acl remembering(rules);
    std::vector<uint8_t> buffer(512);
    for (int i = 0; i < 3000; i++) {
      const std::vector<uint8_t> frame = some_frame(random);
      std::copy(frame.begin(), frame.end(), buffer.begin());
      Acl fresh(rules);
      const auto bytes = uint32_t(frame.size());
      ASSERT_EQ(remembering.allows({buffer.data(), bytes}, bytes, 512),
                fresh.allows({buffer.data(), bytes}, bytes, bytes))
          << expression << ", frame " << i;
    }
  }
}

TEST(Acl, FirstRuleDecidesAndTheRestIsDenied) {
  std::vector<uint8_t> ip(64), arp(64), other(64);
  ip[12] = 8;
  arp[12] = 8;
  arp[13] = 6;
  auto says = [](Acl& list, const std::vector<uint8_t>& frame) { return list.allows(frame, 64, 64); };
  Acl allowing({{.deny = true, .program = compiled("ip")}, {.deny = false, .program = compiled("ip or arp")}});
  EXPECT_FALSE(says(allowing, ip));
  EXPECT_TRUE(says(allowing, arp));
  EXPECT_FALSE(says(allowing, other)) << "a list that allows something denies the rest";
  Acl denying(std::vector<AclRule>{{.deny = true, .program = compiled("ip")}});
  EXPECT_FALSE(says(denying, ip));
  EXPECT_TRUE(says(denying, other));
  const auto words = allowing.words();
  auto again = Acl::from_words(words);
  ASSERT_TRUE(again);
  EXPECT_TRUE(says(*again, arp));
  EXPECT_FALSE(says(*again, other));
}

TEST(FilterProgram, WhatIsNone) {
  auto valid = [](std::vector<FilterInstruction> program) { return FilterProgram::valid(program); };
  const FilterInstruction ret{0x06, 0, 0, 1};
  EXPECT_TRUE(valid({ret}));
  EXPECT_FALSE(valid({}));
  EXPECT_FALSE(valid({{0x28, 0, 0, 12}})) << "does not end";
  EXPECT_FALSE(valid({{0x05, 0, 0, 1}, ret})) << "jumps beyond the end";
  EXPECT_FALSE(valid({{0x05, 0, 0, 0xffffffff}, ret})) << "jumps backwards";
  EXPECT_FALSE(valid({{0x15, 1, 0, 0}, ret}));
  EXPECT_TRUE(valid({{0x15, 0, 0, 0}, ret}));
  EXPECT_FALSE(valid({{0x60, 0, 0, 16}, ret})) << "a word of memory that is not there";
  EXPECT_FALSE(valid({{0x34, 0, 0, 0}, ret})) << "division by 0";
  EXPECT_FALSE(valid({{0x64, 0, 0, 32}, ret})) << "a shift beyond the word";
  EXPECT_FALSE(valid({{0x0d, 9, 9, 0}, ret})) << "a jump that is neither with a condition nor without";
  EXPECT_FALSE(valid({{0x8c, 0, 0, 0}, ret})) << "there is no such negation";
  EXPECT_FALSE(valid({{0x4e, 0, 0, 0}, ret}));
  EXPECT_FALSE(valid({{0x1006, 0, 0, 0}, ret}));
  EXPECT_FALSE(valid(std::vector<FilterInstruction>(FilterProgram::kMost + 1, ret)));
}

// Any words: a list, or none; and a list does no harm.
TEST(Acl, AnyWordsAreSafe) {
  std::mt19937_64 random(7);
  std::vector<uint8_t> frame(64);
  uint32_t lists = 0;
  for (int i = 0; i < 200000; i++) {
    std::vector<uint64_t> words(1 + random() % 12);
    const uint16_t codes[] = {0x28, 0x30, 0x20, 0x40, 0xb1, 0x15, 0x25, 0x45,
                              0x05, 0x54, 0x3c, 0x9c, 0x60, 0x02, 0x06, 0x16};
    for (auto& word : words)
      word = uint64_t{codes[random() % 16]} << 48 | (random() % 4) << 40 | (random() % 4) << 32 |
             (random() % 8 ? random() % 80 : uint32_t(random()));
    words[0] = words.size() - 1;
    words.back() = uint64_t{0x16} << 48;
    for (auto& byte : frame) byte = uint8_t(random());
    if (auto list = Acl::from_words(words)) {
      lists++;
      (void)list->allows(frame, 64, 64);
    }
  }
  EXPECT_GT(lists, 1000u);
}

}  // namespace
}  // namespace unetmap::vale
