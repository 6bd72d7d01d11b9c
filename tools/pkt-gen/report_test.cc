// SPDX-License-Identifier: BSD-2-Clause
#include "report.hh"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "base/json.hh"
#include "sequence.hh"

namespace unetmap::pktgen {
namespace {

TEST(PktGenReport, Units) {
  EXPECT_EQ(scaled(14880952, true), "14.881 M");
  EXPECT_EQ(scaled(999, true), "999.000 ");
  EXPECT_EQ(scaled(1000, true), "1.000 K");
  EXPECT_EQ(scaled(7.6e9, true), "7.600 G");
  EXPECT_EQ(scaled(14880952, false), "14880952 ");
}

TEST(PktGenReport, LiveLineHasTheFormScriptsLookFor) {
  std::string line = rate_line({1310000, 78600000, 2560}, 1061000, 7, {}, nullptr);
  EXPECT_EQ(line, "1.235 Mpps (1.310 Mpkts 592.648 Mbps in 1061000 usec) 511.72 avg_batch 7 min_space");
}

TEST(PktGenReport, LiveLineWithStatisticsAndPlainUnits) {
  RateWindow window;
  window.add(100);
  window.add(300);
  EXPECT_DOUBLE_EQ(window.mean(), 200);
  EXPECT_DOUBLE_EQ(window.deviation(), 100);
  std::string line = rate_line({1000, 60000, 10}, 1000000, 0, {false, true}, &window);
  EXPECT_EQ(line,
            "1000 pps [avg/std 200 /100 pps] (1000 pkts 672000 bps in 1000000 usec) 100.00 avg_batch 0 min_space");
}

TEST(PktGenReport, RateWindowForgets) {
  RateWindow window;
  for (int i = 0; i < 100; i++) window.add(1);
  for (int i = 0; i < 40; i++) window.add(5);
  EXPECT_DOUBLE_EQ(window.mean(), 5);
}

TEST(PktGenReport, Summary) {
  EXPECT_EQ(summary("Sent", {1000, 60000, 2}, 0.001, {}),
            "Sent 1000 packets 60000 bytes 2 events 60 bytes each in 0.00 seconds.\n"
            "Speed: 1.000 Mpps Bandwidth: 480.000 Mbps (raw 480.000 Mbps). Average batch: 500.00 pkts\n");
  EXPECT_EQ(summary("Received", {1000, 60000, 2}, 1, {true, true}),
            "Received 1000 packets 60000 bytes 2 events 60 bytes each in 1.00 seconds.\n"
            "Speed: 1.000 Kpps Bandwidth: 480.000 Kbps (raw 672.000 Kbps). Average batch: 500.00 pkts\n");
  EXPECT_EQ(summary("Received", {}, 1, {}), "Received nothing.\n");
}

TEST(PktGenReport, JsonIsOneLineAndComplete) {
  Options options;
  options.function = Function::ping;
  options.interface = "vale0:\"1";
  Outcome outcome;
  outcome.totals = {4, 240, 2};
  outcome.by_thread = {outcome.totals};
  outcome.seconds = 2;
  outcome.latency.emplace();
  for (uint64_t ns : {100u, 200u, 300u, 400u}) outcome.latency->record(ns);
  outcome.pings_sent = 5;
  outcome.pings_lost = 1;
  std::string text = json_text(options, outcome);
  EXPECT_EQ(text.find('\n'), std::string::npos);
  auto json = parse_json(text);
  EXPECT_EQ(json["function"], "ping");
  EXPECT_EQ(json["interface"], "vale0:\"1");
  EXPECT_EQ(json["packets"], 4);
  EXPECT_EQ(json["pps"], 2.0);
  EXPECT_EQ(json["lost"], 1);
  EXPECT_EQ(json["rtt_ns"]["min"], 100);
  EXPECT_EQ(json["rtt_ns"]["max"], 400);
  EXPECT_EQ(json["rtt_ns"]["count"], 4);
  EXPECT_TRUE(json["error"].is_null());
  outcome.failure = "broken";
  EXPECT_EQ(parse_json(json_text(options, outcome))["error"], "broken");
}

TEST(PktGenReport, JsonOfNothingHasNoInfinities) {
  Outcome outcome;
  auto json = parse_json(json_text(Options{}, outcome));
  EXPECT_EQ(json["pps"], 0.0);
  EXPECT_EQ(json["packets"], 0);
}

TEST(PktGenHistogram, PercentilesAreWithinTheBucketWidth) {
  Histogram h;
  std::mt19937_64 random(7);
  std::vector<uint64_t> values;
  for (int i = 0; i < 100000; i++) {
    values.push_back(random() % (uint64_t{1} << (random() % 30)) + 1);
    h.record(values.back());
  }
  std::sort(values.begin(), values.end());
  for (double percent : {1.0, 50.0, 90.0, 99.0, 99.9}) {
    uint64_t exact = values[size_t(std::ceil(percent / 100 * double(values.size()))) - 1];
    uint64_t got = h.percentile(percent);
    EXPECT_GE(got, exact);
    EXPECT_LE(double(got), double(exact) * (1 + 1.0 / 64) + 1) << percent;
  }
  EXPECT_EQ(h.min(), values.front());
  EXPECT_EQ(h.max(), values.back());
  EXPECT_EQ(h.percentile(100), values.back());
  EXPECT_EQ(h.count(), values.size());
}

TEST(PktGenHistogram, OctavesHoldEverythingOnce) {
  Histogram h, other;
  h.record(0);
  h.record(1);
  h.record(63);
  h.record(64);
  other.record(uint64_t{1} << 50);  // longer than any bucket
  h.merge(other);
  uint64_t total = 0, last_high = 0;
  h.for_each_octave([&](uint64_t low, uint64_t high, uint64_t count) {
    EXPECT_LE(low, high);
    EXPECT_TRUE(total == 0 || low > last_high);
    last_high = high;
    total += count;
  });
  EXPECT_EQ(total, h.count());
  EXPECT_EQ(h.max(), uint64_t{1} << 50);
  h.clear();
  EXPECT_EQ(h.count(), 0u);
  EXPECT_EQ(h.percentile(50), 0u);
}

TEST(PktGenSequence, CountsGapsAndDisorder) {
  SequenceCheck check;
  for (uint32_t n : {7u, 8u, 9u}) check.seen(n);
  EXPECT_EQ(check.counts().gaps, 0u);
  EXPECT_EQ(sequence_text(check.counts()), "");
  EXPECT_EQ(check.seen(13), SequenceCheck::Order::gap);  // 10, 11, 12 missing
  EXPECT_EQ(check.wanted(), 10u);
  EXPECT_EQ(check.found(), 13u);
  EXPECT_EQ(sequence_text(check.counts()),
            "Sequence: 1 gaps, 3 numbers missing, 0 out of order, 0 packets too short\n");
  EXPECT_EQ(check.counts().gaps, 1u);
  EXPECT_EQ(check.counts().missing, 3u);
  check.seen(11);
  EXPECT_EQ(check.counts().out_of_order, 1u);
  check.seen(12);
  EXPECT_EQ(check.counts().out_of_order, 2u);
  check.seen(14);  // late ones do not set the sequence back
  EXPECT_EQ(check.counts().gaps, 1u);
}

TEST(PktGenSequence, FollowsASenderThatStartsAgain) {
  SequenceCheck check;
  check.seen(10'000'000);
  check.seen(0);
  check.seen(1);
  EXPECT_EQ(check.counts().out_of_order, 1u);
  EXPECT_EQ(check.counts().gaps, 0u);
}

TEST(PktGenSequence, WrapsAround) {
  SequenceCheck check;
  check.seen(UINT32_MAX);
  check.seen(0);
  check.seen(1);
  EXPECT_EQ(check.counts().gaps, 0u);
  EXPECT_EQ(check.counts().out_of_order, 0u);
}

TEST(PktGenSequence, ReadsFramesAndNoticesShortOnes) {
  SequenceCheck check;
  FrameSpec spec;
  spec.source = *parse_ip_range("10.0.0.1");
  spec.destination = *parse_ip_range("10.0.0.2");
  spec.vnet_header = 10;
  Frame frame(spec);
  frame.put_sequence(70000);
  check.frame(frame.data(), frame.size(), 10);
  frame.put_sequence(70002);
  check.frame(frame.data(), frame.size(), 10);
  EXPECT_EQ(check.counts().missing, 1u);
  check.frame(frame.data(), 10 + 45, 10);
  check.frame(frame.data(), 3, 10);
  EXPECT_EQ(check.counts().too_short, 2u);
}

}  // namespace
}  // namespace unetmap::pktgen
