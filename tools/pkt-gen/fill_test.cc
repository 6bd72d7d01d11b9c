// SPDX-License-Identifier: BSD-2-Clause
// The filling loops, on rings laid out in ordinary memory. The test plays the port: it takes what was published.
#include "fill.hh"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "slots.hh"

namespace unetmap::pktgen {
namespace {

constexpr uint32_t kBufferBytes = 256;

struct alignas(128) Block {
  uint8_t bytes[128];
};

class TestRing {
 public:
  explicit TestRing(uint32_t slots, uint32_t start = 0)
      : memory_((sizeof(netmap_ring) + slots * sizeof(netmap_slot) + (2 * slots + 3) * kBufferBytes) / sizeof(Block) +
                1) {
    // Buffers 2 .. slots+1 lie in slots, slots+2 .. 2*slots+1 are for exchanging.
    int64_t offset = int64_t(sizeof(netmap_ring) + slots * sizeof(netmap_slot) + 127) / 128 * 128;
    set(&ring()->buf_ofs, offset);
    set(&ring()->num_slots, slots);
    set(&ring()->nr_buf_size, kBufferBytes);
    for (uint32_t i = 0; i < slots; i++) ring()->slot[i].buf_idx = 2 + i;
    ring()->head = ring()->cur = taken_ = start;
    ring()->tail = start == 0 ? slots - 1 : start - 1;
    spare_ = 2 + slots;
  }
  netmap_ring* ring() { return reinterpret_cast<netmap_ring*>(memory_.data()); }
  uint64_t region_bytes() const { return memory_.size() * sizeof(Block); }

  // What a port does at sync: returns the packets published since, and gives `slots` or fewer slots back.
  std::vector<std::string> sync(bool exchange = false) {
    std::vector<std::string> packets;
    std::string packet;
    netmap_ring* r = ring();
    for (; taken_ != r->head; taken_ = nm_ring_next(r, taken_)) {
      netmap_slot* slot = &r->slot[taken_];
      const char* data =
          slot->flags & NS_INDIRECT ? reinterpret_cast<const char*>(slot->ptr) : NETMAP_BUF(r, slot->buf_idx);
      packet.append(data, slot->len);
      fragments_++;
      if (!(slot->flags & NS_MOREFRAG)) {
        packets.push_back(packet);
        packet.clear();
      }
      if (exchange) {
        std::swap(slot->buf_idx, foreign_.emplace_back(next_spare()));
        slot->flags |= NS_BUF_CHANGED;
      }
    }
    EXPECT_TRUE(packet.empty()) << "a packet was published in part";
    r->tail = taken_ == 0 ? r->num_slots - 1 : taken_ - 1;
    return packets;
  }
  uint32_t fragments() const { return fragments_; }
  void spoil(uint32_t buffer) { memset(NETMAP_BUF(ring(), buffer), 0xee, kBufferBytes); }

 private:
  template <class T>
  static void set(const T* field, T value) {
    *const_cast<T*>(field) = value;
  }
  // Buffers of the other side: fresh ones first, then those that went there.
  uint32_t next_spare() {
    if (spare_ < 2 + 2 * ring()->num_slots) {
      spoil(spare_);
      return spare_++;
    }
    uint32_t buffer = foreign_[returned_++];
    return buffer;
  }

  std::vector<Block> memory_;
  std::vector<uint32_t> foreign_;
  size_t returned_ = 0;
  uint32_t taken_ = 0;
  uint32_t spare_ = 0;
  uint32_t fragments_ = 0;
};

struct Scene {
  Options options;
  Traffic traffic{.frame = {}, .options = options};
  Scene() {
    traffic.frame.source = *parse_ip_range("10.0.0.1");
    traffic.frame.destination = *parse_ip_range("10.1.0.1");
    traffic.frame.destination_mac = *parse_mac_range("ff:ff:ff:ff:ff:ff");
  }
  Scene(const Scene&) = delete;
  std::string frame() const {
    Frame f(traffic.frame);
    return std::string(reinterpret_cast<const char*>(f.data()), f.size());
  }
};

TEST(PktGenPlainFill, EveryPacketOfManyRoundsIsTheFrame) {
  Scene s;
  for (uint32_t start : {0u, 5u}) {
    TestRing t(16, start);
    PlainFill fill(s.traffic, {t.ring()}, t.region_bytes());
    size_t sent = 0;
    for (uint32_t limit : {1u, 7u, 100u, 3u, 15u, 100u, 100u, 2u}) {
      Filled filled = fill.fill(0, t.ring(), limit);
      EXPECT_EQ(filled.packets, std::min(limit, 15u));
      EXPECT_EQ(filled.bytes, filled.packets * 60u);
      EXPECT_EQ(t.ring()->cur, t.ring()->head);
      auto packets = t.sync();
      ASSERT_EQ(packets.size(), filled.packets);
      for (const std::string& p : packets) EXPECT_EQ(p, s.frame()) << sent;
      sent += packets.size();
    }
  }
}

TEST(PktGenPlainFill, FillsNothingWithoutRoom) {
  Scene s;
  TestRing t(16);
  PlainFill fill(s.traffic, {t.ring()}, t.region_bytes());
  EXPECT_EQ(fill.fill(0, t.ring(), 100).packets, 15u);
  EXPECT_EQ(fill.fill(0, t.ring(), 100).packets, 0u);
}

TEST(PktGenPlainFill, BuffersOfTheOtherSideGetTheFrame) {
  Scene s;
  TestRing t(16);
  PlainFill fill(s.traffic, {t.ring()}, t.region_bytes());
  for (int round = 0; round < 20; round++) {
    fill.fill(0, t.ring(), 11);
    for (const std::string& p : t.sync(true)) EXPECT_EQ(p, s.frame()) << round;
  }
}

TEST(PktGenPlainFill, RubbishLeavesBuffersAlone) {
  Scene s;
  s.options.features = kRubbish;
  TestRing t(16);
  for (uint32_t b = 2; b < 18; b++) t.spoil(b);
  PlainFill fill(s.traffic, {t.ring()}, t.region_bytes());
  fill.fill(0, t.ring(), 15);
  for (const std::string& p : t.sync()) EXPECT_EQ(p, std::string(60, '\xee'));
}

TEST(PktGenHeaderFill, PacketsAreThoseOfASteppedFrame) {
  Scene s;
  s.traffic.frame.source = *parse_ip_range("10.0.0.1:1-10.0.0.3:7");
  for (bool exchange : {false, true}) {
    for (uint32_t bytes : {42u, 60u, 200u}) {
      s.traffic.frame.bytes = bytes;
      TestRing t(16);
      HeaderFill fill(s.traffic, {t.ring()});
      Frame expected(s.traffic.frame);
      for (int round = 0; round < 10; round++) {
        fill.fill(0, t.ring(), 13);
        for (const std::string& p : t.sync(exchange)) {
          EXPECT_EQ(p, std::string(reinterpret_cast<const char*>(expected.data()), expected.size()))
              << bytes << " " << round;
          expected.step();
        }
      }
    }
  }
}

TEST(PktGenGeneralFill, SplitsIntoTheFragmentsAskedFor) {
  Scene s;
  s.traffic.frame.bytes = 103;
  s.options.fragments = 4;
  TestRing t(16);
  GeneralFill fill(s.traffic, nullptr);
  EXPECT_EQ(fill.check(t.ring(), "x"), "");
  Filled filled = fill.fill(0, t.ring(), 100);
  EXPECT_EQ(filled.packets, 3u);  // 15 slots hold three packets of four
  EXPECT_EQ(t.ring()->cur, t.ring()->tail);
  auto packets = t.sync();
  ASSERT_EQ(packets.size(), 3u);
  for (const std::string& p : packets) EXPECT_EQ(p, s.frame());
  EXPECT_EQ(t.fragments(), 12u);
}

TEST(PktGenGeneralFill, LongPacketsTakeMoreSlots) {
  Scene s;
  s.traffic.frame.bytes = 1000;  // buffers hold 256
  TestRing t(16);
  GeneralFill fill(s.traffic, nullptr);
  fill.fill(0, t.ring(), 1);
  EXPECT_EQ(t.sync(), std::vector<std::string>{s.frame()});
  EXPECT_EQ(t.fragments(), 4u);
  s.options.fragment_bytes = 100;
  GeneralFill small(s.traffic, nullptr);
  small.fill(0, t.ring(), 1);
  EXPECT_EQ(t.sync(), std::vector<std::string>{s.frame()});
  EXPECT_EQ(t.fragments(), 14u);
}

TEST(PktGenGeneralFill, RefusesWhatNeverFits) {
  Scene s;
  s.traffic.frame.bytes = 4000;
  TestRing t(16);
  EXPECT_NE(GeneralFill(s.traffic, nullptr).check(t.ring(), "vale0:1").find("vale0:1"), std::string::npos);
  TestRing large(2000);
  s.traffic.frame.bytes = 64 * kBufferBytes;
  EXPECT_EQ(GeneralFill(s.traffic, nullptr).check(large.ring(), "x"), "");
  s.traffic.frame.bytes++;
  EXPECT_NE(GeneralFill(s.traffic, nullptr).check(large.ring(), "x"), "");
}

TEST(PktGenGeneralFill, SizesAreDrawnFromTheRange) {
  Scene s;
  s.traffic.frame.bytes = 80;
  s.options.bytes = 80;
  s.options.min_bytes = 70;
  TestRing t(16);
  GeneralFill fill(s.traffic, nullptr);
  std::set<size_t> sizes;
  uint64_t bytes = 0, counted = 0;
  for (int round = 0; round < 100; round++) {
    counted += fill.fill(0, t.ring(), 10).bytes;
    for (const std::string& p : t.sync()) {
      sizes.insert(p.size());
      bytes += p.size();
    }
  }
  EXPECT_EQ(bytes, counted);
  EXPECT_EQ(*sizes.begin(), 70u);
  EXPECT_EQ(*sizes.rbegin(), 79u);
  EXPECT_EQ(sizes.size(), 10u);
}

TEST(PktGenIndirectFill, ConstantPacketsShareOnePlace) {
  Scene s;
  TestRing t(16);
  IndirectFill fill(s.traffic, {t.ring()}, nullptr);
  fill.fill(0, t.ring(), 5);
  EXPECT_EQ(t.ring()->slot[0].ptr, t.ring()->slot[4].ptr);
  EXPECT_EQ(t.ring()->slot[0].flags, NS_INDIRECT);
  EXPECT_EQ(t.ring()->slot[4].flags, NS_INDIRECT | NS_REPORT);
  for (const std::string& p : t.sync()) EXPECT_EQ(p, s.frame());
}

TEST(PktGenIndirectFill, ChangingPacketsStayAsTheyWereUntilTaken) {
  Scene s;
  s.traffic.frame.source = *parse_ip_range("10.0.0.1:1-10.0.0.3:7");
  TestRing t(16);
  IndirectFill fill(s.traffic, {t.ring()}, nullptr);
  Frame expected(s.traffic.frame);
  for (int round = 0; round < 5; round++) {
    fill.fill(0, t.ring(), 9);
    fill.fill(0, t.ring(), 9);
    for (const std::string& p : t.sync()) {
      EXPECT_EQ(p, std::string(reinterpret_cast<const char*>(expected.data()), expected.size()));
      expected.step();
    }
  }
}

}  // namespace
}  // namespace unetmap::pktgen
