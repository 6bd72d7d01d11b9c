// SPDX-License-Identifier: BSD-2-Clause
#include "vale/fence.hh"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "vale/fdb.hh"
#include "vale/test_switch.hh"

namespace unetmap::vale::testing {
namespace {

using Bytes = std::vector<uint8_t>;
using Verdict = Fence::Verdict;

const Bytes kOwnMac = {2, 0, 0, 0, 0, 7}, kOtherMac = {2, 0, 0, 0, 0, 8};

void add(Bytes& to, std::initializer_list<int> bytes) {
  for (int byte : bytes) to.push_back(uint8_t(byte));
}

Bytes ethernet(const Bytes& from, uint16_t type, int tags = 0) {
  Bytes out(12, 0xff);
  std::copy(from.begin(), from.end(), out.begin() + 6);
  for (int i = 0; i < tags; i++) add(out, {0x81, 0, 0, 5});
  add(out, {type >> 8, type & 0xff});
  return out;
}

Bytes ipv4(uint32_t source, int tags = 0, uint8_t protocol = 6, uint16_t from = 1000, uint16_t to = 80) {
  Bytes out = ethernet(kOwnMac, 0x0800, tags);
  add(out, {0x45, 0, 0, 40, 0, 0, 0, 0, 64, protocol, 0, 0});
  add(out, {int(source >> 24), int(source >> 16 & 255), int(source >> 8 & 255), int(source & 255), 9, 9, 9, 9});
  add(out, {from >> 8, from & 255, to >> 8, to & 255, 0, 0, 0, 0});
  return out;
}

Bytes arp(const Bytes& sender, uint32_t address) {
  Bytes out = ethernet(kOwnMac, 0x0806);
  add(out, {0, 1, 8, 0, 6, 4, 0, 1});
  out.insert(out.end(), sender.begin(), sender.end());
  add(out, {int(address >> 24), int(address >> 16 & 255), int(address >> 8 & 255), int(address & 255)});
  out.resize(out.size() + 10);
  return out;
}

// From fd00::LAST.
Bytes ipv6(std::initializer_list<int> source, uint8_t next, std::initializer_list<int> payload) {
  Bytes out = ethernet(kOwnMac, 0x86dd);
  add(out, {0x60, 0, 0, 0, 0, int(payload.size()), next, 64});
  add(out, source);
  out.resize(out.size() + 16, 0xfd);
  add(out, payload);
  return out;
}

Fence fence_of(const FenceRules& rules) {
  FenceEntry entry{};
  rules.store(entry);
  Fence fence;
  fence.load(entry);
  return fence;
}

Verdict judge(Fence& fence, const Bytes& frame) {
  return fence.judge({frame.data(), std::min<size_t>(frame.size(), Fence::kLooksAt)}, uint32_t(frame.size()));
}

FenceRules addresses() {
  FenceRules rules;
  rules.addresses = true;
  rules.count4 = 2;
  rules.range4[0] = {0x0a000005, 0xffffffff};
  rules.range4[1] = {0xc0a80100, 0xffffff00};
  rules.count6 = 1;
  rules.range6[0] = {0xfd00000000000000, 0, 64};
  return rules;
}

TEST(Fence, NothingSetLetsAllPass) {
  Fence fence = fence_of({});
  EXPECT_EQ(judge(fence, ethernet(kOtherMac, 0x1234)), Verdict::kPass);
  EXPECT_EQ(judge(fence, ipv4(0x01020304)), Verdict::kPass);
}

TEST(Fence, OneSourceAddress) {
  FenceRules rules;
  rules.mac = load_mac(kOwnMac.data());
  Fence fence = fence_of(rules);
  EXPECT_EQ(judge(fence, ethernet(kOwnMac, 0x1234)), Verdict::kPass);
  EXPECT_EQ(judge(fence, ethernet(kOtherMac, 0x1234)), Verdict::kSpoofed);
  EXPECT_EQ(judge(fence, arp(kOwnMac, 1)), Verdict::kPass);
  EXPECT_EQ(judge(fence, arp(kOtherMac, 1)), Verdict::kSpoofed) << "the sender in the packet counts, too";
}

TEST(Fence, Ipv4Sources) {
  Fence fence = fence_of(addresses());
  EXPECT_EQ(judge(fence, ipv4(0x0a000005)), Verdict::kPass);
  EXPECT_EQ(judge(fence, ipv4(0xc0a80177)), Verdict::kPass);
  EXPECT_EQ(judge(fence, ipv4(0x0a000006)), Verdict::kSpoofed);
  EXPECT_EQ(judge(fence, ipv4(0xc0a80201)), Verdict::kSpoofed);
  for (int tags : {1, 2}) {
    EXPECT_EQ(judge(fence, ipv4(0x0a000005, tags)), Verdict::kPass);
    EXPECT_EQ(judge(fence, ipv4(0x0a000006, tags)), Verdict::kSpoofed);
  }
  EXPECT_EQ(judge(fence, ipv4(0x0a000005, 3)), Verdict::kSpoofed) << "deeper than it looks";
  EXPECT_EQ(judge(fence, ipv4(0, 0, 17, 68, 67)), Verdict::kPass) << "DHCP";
  EXPECT_EQ(judge(fence, ipv4(0, 0, 17, 68, 53)), Verdict::kSpoofed);
  EXPECT_EQ(judge(fence, ipv4(0, 0, 6, 68, 67)), Verdict::kSpoofed);
  EXPECT_EQ(judge(fence, arp(kOwnMac, 0x0a000005)), Verdict::kPass);
  EXPECT_EQ(judge(fence, arp(kOwnMac, 0)), Verdict::kPass) << "a probe";
  EXPECT_EQ(judge(fence, arp(kOwnMac, 0x0a000009)), Verdict::kSpoofed);
}

TEST(Fence, Ipv6Sources) {
  Fence fence = fence_of(addresses());
  const auto own = {0xfd, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8};
  const auto other = {0xfd, 1, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8};
  const auto local = {0xfe, 0x80, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8};
  const auto none = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  EXPECT_EQ(judge(fence, ipv6(own, 6, {0, 0, 0, 0})), Verdict::kPass);
  EXPECT_EQ(judge(fence, ipv6(other, 6, {0, 0, 0, 0})), Verdict::kSpoofed);
  EXPECT_EQ(judge(fence, ipv6(local, 58, {133, 0, 0, 0})), Verdict::kPass);
  EXPECT_EQ(judge(fence, ipv6(none, 58, {135, 0, 0, 0})), Verdict::kPass);
  auto advertisement = [&](std::initializer_list<int> target, bool behind_header) {
    Bytes out = ipv6(own, behind_header ? 0 : 58, {});
    if (behind_header) add(out, {58, 0, 1, 4, 0, 0, 0, 0});
    add(out, {136, 0, 0, 0, 0, 0, 0, 0});
    add(out, target);
    return out;
  };
  for (bool behind : {false, true}) {
    EXPECT_EQ(judge(fence, advertisement(own, behind)), Verdict::kPass);
    EXPECT_EQ(judge(fence, advertisement(other, behind)), Verdict::kSpoofed);
  }
  EXPECT_EQ(judge(fence, ipv6(own, 44, {58, 0, 0, 0, 0, 0, 0, 0, 136, 0})), Verdict::kSpoofed) << "in pieces";
}

// Whatever the bytes are and wherever they end.
TEST(Fence, CutShortIsNeverReadPastItsEnd) {
  FenceRules rules = addresses();
  rules.mac = load_mac(kOwnMac.data());
  Fence fence = fence_of(rules);
  const auto own = {0xfd, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8};
  for (const Bytes& whole :
       {ipv4(0x0a000005, 2), arp(kOwnMac, 0x0a000005), ipv6(own, 0, {58, 0, 1, 4, 0, 0, 0, 0, 136})})
    for (size_t bytes = 0; bytes <= whole.size(); bytes++) {
      Bytes part(whole.begin(), whole.begin() + ssize_t(bytes));
      part.shrink_to_fit();
      (void)judge(fence, part);
    }
}

TEST(Fence, RateIsBytesASecondWithABurst) {
  FenceRules rules;
  rules.rate = 1'000'000;
  rules.burst = 100'000;
  Fence fence = fence_of(rules);
  Bytes frame = ethernet(kOwnMac, 0x1234);
  frame.resize(1000);
  uint64_t now = 5'000'000'000;
  auto passed = [&](int offered) {
    int count = 0;
    for (int i = 0; i < offered; i++) count += judge(fence, frame) == Verdict::kPass;
    return count;
  };
  fence.earn(now);
  EXPECT_EQ(passed(1000), 100) << "the burst";
  fence.earn(now += 10'000'000);
  EXPECT_EQ(passed(1000), 10);
  for (int i = 0; i < 1000; i++) fence.earn(now += 100);  // too short each, but not together
  fence.earn(now += 1'000'000);
  EXPECT_EQ(passed(1000), 1);
  fence.earn(now + 3'600'000'000'000);
  EXPECT_EQ(passed(1000), 100);
}

TEST(Fence, RulesOutOfRangeAreHarmless) {
  FenceEntry entry;
  for (auto& word : entry.word) word = ~uint64_t{0};
  Fence fence;
  fence.load(entry);
  fence.earn(1);
  (void)judge(fence, ipv4(0x0a000005));
}

struct FencedSwitch : ::testing::Test {
  TestSwitch sw;
  void fence(TestPort& port, const FenceRules& rules) {
    rules.store(sw.shared->fence[port.index]);
    sw.shared->port[port.index].flags |= kPortFenced;
  }
};

TEST_F(FencedSwitch, SpoofedFramesAreLostAndNotLearned) {
  TestPort &a = sw.add(), &b = sw.add(), &c = sw.add();
  FenceRules rules;
  std::string good = frame(0xff, 1);
  rules.mac = load_mac(reinterpret_cast<const uint8_t*>(good.data()) + 6);
  fence(a, rules);
  sw.queue(a, frame(0xff, 3));
  sw.queue(a, good);
  sw.queue(a, frame(0xff, 3));
  sw.send(a);
  EXPECT_EQ(sw.receive(b), std::vector<std::string>{good});
  EXPECT_EQ(sw.receive(c), std::vector<std::string>{good});
  EXPECT_EQ(a.tx.lost_spoofed, 2u);
  sw.queue(b, frame(3, 2));
  sw.send(b);
  EXPECT_EQ(sw.receive(c).size(), 1u) << "3 is unknown, so floods";
}

TEST_F(FencedSwitch, IsolatedPortsReachOthersOnly) {
  TestPort &a = sw.add(), &b = sw.add(), &c = sw.add();
  sw.shared->port[a.index].group = 7;
  sw.shared->port[b.index].group = 7;
  sw.queue(b, frame(0xff, 2));
  sw.send(b);
  EXPECT_EQ(sw.receive(a).size(), 0u);
  EXPECT_EQ(sw.receive(c).size(), 1u);
  sw.queue(a, frame(2, 1));
  sw.queue(a, frame(0xff, 1));
  sw.send(a);
  EXPECT_EQ(sw.receive(b).size(), 0u);
  EXPECT_EQ(sw.receive(c).size(), 1u);
  EXPECT_EQ(a.tx.lost_isolated, 1u);
  sw.queue(c, frame(1, 3));
  sw.send(c);
  EXPECT_EQ(sw.receive(a).size(), 1u);
}

TEST_F(FencedSwitch, RateCountsWhatItTakesAway) {
  TestPort &a = sw.add(), &b = sw.add();
  FenceRules rules;
  rules.rate = 6000;
  rules.burst = 600;
  fence(a, rules);
  sw.clock_ns = 1'000'000'000;
  for (int i = 0; i < 20; i++) sw.queue(a, frame(0xff, 1));
  sw.send(a);
  EXPECT_EQ(sw.receive(b).size(), 10u);
  EXPECT_EQ(a.tx.lost_rate, 10u);
}

}  // namespace
}  // namespace unetmap::vale::testing
