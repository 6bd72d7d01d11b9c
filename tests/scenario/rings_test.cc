// SPDX-License-Identifier: BSD-2-Clause
// Ports of several rings: whatever is behind them, what senders put into any of their rings comes out, and each flow in
// order, whichever way its frames take.
#include <gtest/gtest.h>

#include <map>

#include "endpoints.hh"

namespace {

using namespace endpoints;
using flows::eventually;

constexpr uint8_t kReceiver = 2, kSender = 10;
constexpr uint32_t kSenderRings = 4;

class RingsTest : public testing::TestWithParam<std::tuple<Kind, uint32_t>> {
 protected:
  static void SetUpTestSuite() { (void)own_network(); }
};

std::string name_of_case(const testing::TestParamInfo<std::tuple<Kind, uint32_t>>& info) {
  return std::string(name_of(std::get<0>(info.param))) + std::to_string(std::get<1>(info.param)) + "Rings";
}
INSTANTIATE_TEST_SUITE_P(Table, RingsTest, testing::Combine(testing::ValuesIn(kKinds), testing::Values(1, 2, 3)),
                         name_of_case);

// Takes what comes until all of `expected` flows had `count` frames, from senders kSender + flow, numbered from 1.
void expect_flows(Endpoint& from, Endpoint& to, uint32_t flows, uint64_t count) {
  std::map<uint32_t, uint64_t> last;
  bool good = true;
  EXPECT_TRUE(eventually([&] {
    from.wait();
    for (const Bytes& frame : to.get()) {
      if (frame[5] != kReceiver || frame[11] < kSender || frame[11] >= kSender + flows) continue;
      uint64_t& before = last[frame[11]];
      good = good && vm::number_of(frame) == before + 1;
      before = vm::number_of(frame);
    }
    uint64_t sum = 0;
    for (auto& [flow, number] : last) sum += number;
    return !good || sum == flows * count;
  }));
  EXPECT_TRUE(good) << "a frame is missing, or not in its place";
  for (uint32_t flow = 0; flow < flows; flow++) EXPECT_EQ(last[kSender + flow], count) << "of ring " << flow;
}

TEST_P(RingsTest, EachIsServed) {
  const auto [kind, rings] = GetParam();
  if (kind == Kind::kTap && !own_network()) GTEST_SKIP() << "takes root and /dev/net/tun, for taps";
  constexpr uint64_t kFrames = 600;
  auto to = make(kind, "valeR:rto", {.rings = rings, .lossless = true});
  Program from("valeR:rfrom", {.rings = kSenderRings});
  ASSERT_TRUE(introduce(*to, kReceiver, from));
  // Two rounds: what came in the first on one ring must not hold the others up.
  std::vector<std::vector<Bytes>> frames(kSenderRings);
  for (uint32_t ring = 0; ring < kSenderRings; ring++)
    for (uint64_t i = 1; i <= kFrames; i++)
      frames[ring].push_back(vm::frame_from_to(uint8_t(kSender + ring), kReceiver, i, 60 + i % 1400));
  for (uint32_t ring = 0; ring < kSenderRings; ring++) ASSERT_EQ(from.put_on(ring, frames[ring]), kFrames) << ring;
  expect_flows(from, *to, kSenderRings, kFrames);
}

// And what is behind them reaches a program whose port has several, from the one queue that it has.
TEST_P(RingsTest, AProgramOfSeveralGetsAll) {
  const auto [kind, rings] = GetParam();
  if (kind == Kind::kTap && !own_network()) GTEST_SKIP() << "takes root and /dev/net/tun, for taps";
  constexpr uint64_t kFrames = 400;
  Program to("valeR:pto", {.rings = rings, .lossless = true});
  auto from = make(kind, "valeR:pfrom", {.rings = 2});
  ASSERT_TRUE(introduce(to, kReceiver, *from));
  std::vector<Bytes> frames;
  for (uint64_t i = 1; i <= kFrames; i++) frames.push_back(vm::frame_from_to(kSender, kReceiver, i, 60 + i % 1400));
  ASSERT_TRUE(from->put_all(frames));
  expect_flows(*from, to, 1, kFrames);
}

// A guest that takes frames now slowly, now fast: those that its neighbour's process gives it straight do not overtake
// those that wait in the switch. It may lose some where it is not lossless.
TEST(FlowOrderTest, StraightAndThroughTheSwitch) {
  for (bool lossless : {true, false}) {
    SCOPED_TRACE(lossless ? "lossless" : "plain");
    auto to = make(Kind::kNeighbour, "valeO:nto", {.slots = 64, .lossless = lossless});
    auto from = make(Kind::kNeighbour, "valeO:nfrom");
    ASSERT_TRUE(introduce(*to, kReceiver, *from));
    constexpr uint64_t kFrames = 20000;
    uint64_t sent = 0, last = 0, got = 0, round = 0;
    bool good = true;
    auto receive = [&] {
      for (const Bytes& frame : to->get()) {
        if (frame[5] != kReceiver || frame[11] != kSender) continue;
        good = good && vm::number_of(frame) > last;
        last = vm::number_of(frame);
        got++;
      }
    };
    ASSERT_TRUE(eventually(
        [&] {
          for (int i = 0; i < 200 && sent < kFrames; i++) {
            Bytes frame = vm::frame_from_to(kSender, kReceiver, sent + 1);
            if (from->put({&frame, 1}) == 0) break;
            sent++;
          }
          // Long pauses let the straight way fill, and the switch behind it; short ones let it empty again.
          if (++round % 16 < 4) receive();
          return !good || sent == kFrames;
        },
        60000))
        << sent;
    EXPECT_TRUE(eventually([&] {
      receive();
      if (lossless) return !good || got == kFrames;
      Bytes mark = vm::frame_from_to(kSender, kReceiver, kFrames + 1);
      from->put({&mark, 1});
      return !good || last > kFrames;
    })) << got
        << " of " << sent;
    EXPECT_TRUE(good) << "order is lost at frame " << last;
  }
}

const testing::Environment* const own_daemon = testing::AddGlobalTestEnvironment(new OwnDaemon);

}  // namespace
