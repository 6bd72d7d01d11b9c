// SPDX-License-Identifier: BSD-2-Clause
#include "options.hh"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "parts/test_arguments.hh"
#include "run.hh"

namespace unetmap::pktgen {
namespace {

Result<Options> parse(std::vector<std::string> words) {
  parts::TestArguments arguments("pkt-gen", std::move(words));
  return parse_options(arguments.argc(), arguments.argv());
}

TEST(PktGenOptions, Defaults) {
  auto o = parse({"-i", "vale0:1"});
  ASSERT_TRUE(o) << o.error().text;
  EXPECT_EQ(o->function, Function::rx);
  EXPECT_EQ(o->burst, 512u);
  EXPECT_EQ(o->bytes, 60u);
  EXPECT_EQ(o->min_bytes, 0u);
  EXPECT_EQ(o->count, 0u);
  EXPECT_EQ(to_string(*o->source), "10.0.0.1:1234");
  EXPECT_EQ(to_string(*o->destination), "10.1.0.1:1234");
  EXPECT_EQ(to_string(*o->destination_mac), "ff:ff:ff:ff:ff:ff");
  EXPECT_FALSE(o->source_mac);
}

TEST(PktGenOptions, GluedShortOptions) {
  auto o = parse({"-ivale0:01", "-ftx", "-d10.0.0.200:7777", "-l1460", "-n1000", "-b32", "-D02:00:00:00:00:09"});
  ASSERT_TRUE(o) << o.error().text;
  EXPECT_EQ(o->device, "vale0:01");
  EXPECT_EQ(o->backend, Backend::netmap);
  EXPECT_EQ(o->function, Function::tx);
  EXPECT_EQ(to_string(*o->destination), "10.0.0.200:7777");
  EXPECT_EQ(o->bytes, 1460u);
  EXPECT_EQ(o->count, 1000u);
  EXPECT_EQ(o->burst, 32u);
  EXPECT_EQ(o->destination_mac->first, 0x020000000009u);
}

TEST(PktGenOptions, InterfaceNamesChooseTheBackend) {
  struct {
    const char *given, *device;
    Backend backend;
  } cases[] = {
      {"eth0", "netmap:eth0", Backend::netmap}, {"netmap:eth0-1", "netmap:eth0-1", Backend::netmap},
      {"vale0:1", "vale0:1", Backend::netmap},  {"vale0:1{2", "vale0:1{2", Backend::netmap},
      {"tap01", "tap01", Backend::tap},         {"tap:mine", "mine", Backend::tap},
      {"pcap:eth0", "eth0", Backend::pcap},
  };
  for (const auto& c : cases) {
    auto o = parse({"-i", c.given});
    ASSERT_TRUE(o) << c.given;
    EXPECT_EQ(o->device, c.device);
    EXPECT_EQ(o->backend, c.backend) << c.given;
  }
}

TEST(PktGenOptions, SizeTwiceIsARange) {
  auto o = parse({"-ivale0:1", "-ftx", "-l1500", "-l64"});
  ASSERT_TRUE(o);
  EXPECT_EQ(o->bytes, 1500u);
  EXPECT_EQ(o->min_bytes, 64u);
  EXPECT_FALSE(parse({"-ivale0:1", "-ftx", "-l64", "-l1500"}));
  EXPECT_FALSE(parse({"-ivale0:1", "-l15"}));
  EXPECT_FALSE(parse({"-ivale0:1", "-l65536"}));
}

TEST(PktGenOptions, Rates) {
  EXPECT_EQ(*parse_scaled("1000"), 1000u);
  EXPECT_EQ(*parse_scaled("250K"), 250000u);
  EXPECT_EQ(*parse_scaled("14.88M"), 14880000u);
  EXPECT_EQ(*parse_scaled("1.5Mpps"), 1500000u);
  EXPECT_EQ(*parse_scaled("2g"), 2000000000u);
  EXPECT_EQ(*parse_scaled("9007199254740993"), 9007199254740993u);
  for (const char* text : {"", "K", "-1", "1x", "1 K", "1e5", "nan", "inf"}) EXPECT_FALSE(parse_scaled(text)) << text;
}

TEST(PktGenOptions, RingConfiguration) {
  auto one = parse({"-ivale0:1", "-C512"});
  ASSERT_TRUE(one);
  EXPECT_EQ(one->rings->tx_slots, 512u);
  EXPECT_EQ(one->rings->rx_slots, 512u);
  EXPECT_EQ(one->rings->tx_rings, 0u);
  auto three = parse({"-ivale0:1", "-C", "512,1024,4"});
  ASSERT_TRUE(three);
  EXPECT_EQ(three->rings->rx_slots, 1024u);
  EXPECT_EQ(three->rings->tx_rings, 4u);
  EXPECT_EQ(three->rings->rx_rings, 4u);
  auto four = parse({"-ivale0:1", "-C", ",,2,3"});
  ASSERT_TRUE(four);
  EXPECT_EQ(four->rings->tx_slots, 0u);
  EXPECT_EQ(four->rings->tx_rings, 2u);
  EXPECT_EQ(four->rings->rx_rings, 3u);
  EXPECT_FALSE(parse({"-ivale0:1", "-C1,2,3,4,5"}));
  EXPECT_FALSE(parse({"-ivale0:1", "-Cx"}));
}

TEST(PktGenOptions, FeatureBitsAndTheirLetters) {
  auto o = parse({"-ivale0:1", "-ftx", "-zZXA", "-o4096"});
  ASSERT_TRUE(o);
  EXPECT_EQ(o->features, uint32_t{kRandomSource | kRandomDestination | kDump | kRateStatistics | kUpdateChecksum});
  auto indirect = parse({"-ivale0:1", "-ftx", "-o32"});
  ASSERT_TRUE(indirect);
  EXPECT_TRUE(indirect->has(kIndirect));
}

TEST(PktGenOptions, FamilyFollowsTheAddresses) {
  auto o = parse({"-ivale0:1", "-ftx", "-d[fd00::9]:53"});
  ASSERT_TRUE(o) << o.error().text;
  EXPECT_EQ(*o->family, Family::v6);
  EXPECT_EQ(o->source->family, Family::v6);
  EXPECT_TRUE(parse({"-ivale0:1", "-6"}));
  EXPECT_FALSE(parse({"-ivale0:1", "-6", "-d10.0.0.1"}));
  EXPECT_FALSE(parse({"-ivale0:1", "-sfd00::1", "-d10.0.0.1"}));
}

TEST(PktGenOptions, PingDefaultsAndLimits) {
  auto o = parse({"-ivale0:1", "-fping", "--busy", "--json"});
  ASSERT_TRUE(o);
  EXPECT_EQ(o->burst, 1u);
  EXPECT_TRUE(o->busy);
  EXPECT_TRUE(o->json);
  EXPECT_FALSE(parse({"-ivale0:1", "-fping", "-l53"}));
  EXPECT_TRUE(parse({"-ivale0:1", "-fping", "-l54"}));
  EXPECT_FALSE(parse({"-ivale0:1", "-fping", "-p2"}));
  EXPECT_FALSE(parse({"-ivale0:1", "-ftx", "--busy"}));
}

TEST(PktGenOptions, OldLetters) {
  auto o = parse({"-ivale0:1", "-t1000", "-E4", "-m1", "-e8"});
  ASSERT_TRUE(o);
  EXPECT_EQ(o->function, Function::tx);
  EXPECT_EQ(o->count, 1000u);
  EXPECT_EQ(o->extra_buffers, 8u);
  EXPECT_EQ(o->notes.size(), 2u);
}

TEST(PktGenOptions, BadOnesAreRefusedWithTheirName) {
  struct {
    std::vector<std::string> words;
    const char* expected;
  } cases[] = {
      {{}, "-i"},
      {{"-ivale0:1", "-q"}, "-q"},
      {{"-ivale0:1", "--nonsense"}, "--nonsense"},
      {{"-ivale0:1", "-n"}, "-n needs a value"},
      {{"-ivale0:1", "-nmany"}, "-n: 'many'"},
      {{"-ivale0:1", "-fsing"}, "-f: 'sing'"},
      {{"-ivale0:1", "-F64"}, "-F: '64'"},
      {{"-ivale0:1", "-H11"}, "-H: '11'"},
      {{"-ivale0:1", "-Sxx"}, "-S: address 'xx'"},
      {{"-ivale0:1", "-s1.2.3"}, "-s: address '1.2.3'"},
      {{"-ivale0:1", "extra"}, "'extra'"},
      {{"-itap:"}, "names no device"},
      {{"-itap0", "-fping"}, "-f ping"},
      {{"-inull"}, "-i null"},
      {{"-ivale0:1", "-Pfile"}, "-P"},
      {{"-ivale0:1", "--once"}, "--once"},
      {{"-ivale0:1", "-ftx", "-I", "-F2"}, "-I"},
      {{"-ivale0:1", "-ftx", "--write=x"}, "--write"},
      {{"-ivale0:1", "-a65000"}, "-a"},
  };
  for (const auto& c : cases) {
    auto o = parse(c.words);
    ASSERT_FALSE(o) << c.expected;
    EXPECT_NE(o.error().text.find(c.expected), std::string::npos) << o.error().text;
    EXPECT_EQ(o.error().text.find('\n'), std::string::npos);
  }
}

TEST(PktGenOptions, HelpNeedsNothingElseAndNamesEveryLetter) {
  auto o = parse({"-h"});
  ASSERT_TRUE(o);
  EXPECT_TRUE(o->help);
  std::string text = usage_text();
  for (char letter : std::string("hifnlb46dsDSacpTwWRXHPzZNFMIvrABCeo")) {
    EXPECT_NE(text.find(std::string("\n  -") + letter), std::string::npos) << letter;
  }
  for (size_t at = 0; at < text.size();) {
    size_t end = text.find('\n', at);
    EXPECT_LE(end - at, 120u) << text.substr(at, end - at);
    at = end + 1;
  }
}

TEST(PktGenShares, AddUpToTheCount) {
  EXPECT_EQ(share_of(0, 0, 3), UINT64_MAX);
  for (uint64_t count : {1u, 2u, 3u, 10u, 1000001u}) {
    for (unsigned threads : {1u, 2u, 3u, 7u}) {
      uint64_t sum = 0;
      for (unsigned i = 0; i < threads; i++) sum += share_of(count, i, threads);
      EXPECT_EQ(sum, count);
    }
  }
}

TEST(PktGenShares, ThreadsAreSpreadOverCpus) {
  Options o;
  EXPECT_EQ(cpu_of_thread(o, 0, 8), -1);
  o.first_cpu = 3;
  EXPECT_EQ(cpu_of_thread(o, 0, 8), 3);
  EXPECT_EQ(cpu_of_thread(o, 6, 8), 1);
  o.cpus = 2;
  EXPECT_EQ(cpu_of_thread(o, 2, 8), 3);
  EXPECT_EQ(cpu_of_thread(o, 3, 8), 4);
}

}  // namespace
}  // namespace unetmap::pktgen
