// SPDX-License-Identifier: BSD-2-Clause
// Lossless ports: whatever the sizes of rings and batches and the form of the packets, all arrive, once and in order.
#include <gtest/gtest.h>

#include "vale/offload_test_frames.hh"
#include "vale/test_switch.hh"

namespace unetmap::vale {
namespace {

using namespace testing;

enum class Form { kPlain, kFlood, kHeaderApart, kSegments };

struct Case {
  uint32_t slots, batch;
  Form form;
};

class LosslessTest : public ::testing::TestWithParam<Case> {};

std::vector<Case> cases() {
  std::vector<Case> out;
  for (uint32_t slots : {2, 3, 64, 1024})
    for (uint32_t batch : {1, 7, 64, 200})
      for (Form form : {Form::kPlain, Form::kFlood, Form::kHeaderApart, Form::kSegments})
        out.push_back({slots, batch, form});
  return out;
}

std::string case_name(const ::testing::TestParamInfo<Case>& info) {
  const char* const forms[] = {"Plain", "Flood", "HeaderApart", "Segments"};
  return std::string(forms[int(info.param.form)]) + "Slots" + std::to_string(info.param.slots) + "Batch" +
         std::to_string(info.param.batch);
}

INSTANTIATE_TEST_SUITE_P(Table, LosslessTest, ::testing::ValuesIn(cases()), case_name);

// One packet of `form` from a, of the number `n`; what is to arrive for it is added to `expected`.
void queue(TestSwitch& sw, TestPort& a, Form form, uint32_t n, std::vector<std::string>& expected) {
  if (form == Form::kSegments) {
    FrameSpec spec;
    spec.payload = 20000 + n;
    spec.gso_size = 1000;
    spec.seed = n + 1;
    Bytes packet = build_packet(spec, 12);
    for (size_t at = 0; at < packet.size(); at += a.buf_size) {
      size_t part = std::min<size_t>(packet.size() - at, a.buf_size);
      sw.queue(a, std::string(reinterpret_cast<const char*>(&packet[at]), part),
               at + part < packet.size() ? NS_MOREFRAG : 0);
    }
    for (size_t at = 0; at < spec.payload; at += spec.gso_size) {
      size_t from = 12 + spec.headers() + at;
      expected.emplace_back(reinterpret_cast<const char*>(&packet[from]),
                            std::min<size_t>(spec.gso_size, spec.payload - at));
    }
    return;
  }
  std::string whole = frame(form == Form::kFlood ? 0xff : 2, 1, 60, std::to_string(n));
  if (form == Form::kHeaderApart) {
    whole = std::string(12, 0) + whole;
    sw.queue(a, whole.substr(0, 12), NS_MOREFRAG);
    sw.queue(a, whole.substr(12));
  } else {
    sw.queue(a, whole);
  }
  expected.push_back(whole);
}

TEST_P(LosslessTest, NothingIsLostOrLeft) {
  const auto [slots, batch, form] = GetParam();
  TestSwitch sw;
  TestPort &a = sw.add(8192), &b = sw.add(slots, kPortFlood | kPortLossless),
           &other = sw.add(slots, kPortFlood | kPortLossless);
  if (form == Form::kHeaderApart || form == Form::kSegments) sw.shared->port[a.index].header_len = 12;
  if (form == Form::kHeaderApart) sw.shared->port[b.index].header_len = sw.shared->port[other.index].header_len = 12;
  std::vector<std::string> expected, at_b, at_other;
  for (uint32_t n = 0; n < batch; n++) queue(sw, a, form, n, expected);
  // The other takes what comes half as often.
  for (uint32_t round = 0; (a.hwcur != a.tx_head || round % 2 == 0) && round < 50000; round++) {
    Forwarded out = sw.send(a);
    ASSERT_EQ(out.blocked == nullptr, a.hwcur == a.tx_head);
    for (auto& f : sw.receive(b)) at_b.push_back(f);
    if (round % 2)
      for (auto& f : sw.receive(other)) at_other.push_back(f);
  }
  for (auto& f : sw.receive(b)) at_b.push_back(f);
  for (auto& f : sw.receive(other)) at_other.push_back(f);
  if (form == Form::kSegments)
    for (auto* list : {&at_b, &at_other})
      for (auto& f : *list) f.erase(0, FrameSpec{}.headers());
  EXPECT_EQ(a.hwcur, a.tx_head);
  EXPECT_EQ(at_b, expected);
  if (form != Form::kPlain && form != Form::kHeaderApart) {
    EXPECT_EQ(at_other, expected);
  }
  EXPECT_EQ(a.tx.lost_full + a.tx.lost_convert + a.tx.lost_malformed, 0u);
  EXPECT_EQ(b.receiver->view().exchange.free_cells(), slots - 1);
}

// A packet that cannot be in its ring whatever room there is holds up nobody.
TEST(LosslessOversizeTest, WhatCanNeverFitIsLostAndCounted) {
  TestSwitch sw;
  TestPort &a = sw.add(), &b = sw.add(3, kPortFlood | kPortLossless);
  std::string big = frame(2, 1, 6000), good = frame(2, 1, 4096);
  for (const std::string& each : {big, good, big}) {
    for (size_t at = 0; at < each.size(); at += 2048)
      sw.queue(a, each.substr(at, 2048), at + 2048 < each.size() ? NS_MOREFRAG : 0);
  }
  sw.send(a);
  EXPECT_EQ(sw.receive(b), std::vector<std::string>{good});
  sw.send(a);
  EXPECT_TRUE(sw.receive(b).empty());
  EXPECT_EQ(a.hwcur, a.tx_head);
  EXPECT_EQ(a.tx.lost_full, 2u);
  EXPECT_EQ(b.receiver->view().exchange.shared().lost_oversize, 2u);
}

// Each takes as many buffers as were reserved for it, and none is given back before.
TEST(LosslessOversizeTest, PacketsLongerThanTheReceiversBuffers) {
  TestSwitch sw;
  TestPort &a = sw.add(), &b = sw.add(32, kPortFlood | kPortLossless, 128);
  std::vector<std::string> expected, got;
  for (uint8_t n = 1; n <= 40; n++) {
    expected.push_back(frame(0xff, 1, 130 + n, std::string(1, char(n))));
    sw.queue(a, expected.back());
  }
  for (int i = 0; i < 40 && a.hwcur != a.tx_head; i++) {
    sw.send(a);
    for (std::string& each : sw.receive(b)) got.push_back(std::move(each));
  }
  EXPECT_EQ(got, expected);
  EXPECT_EQ(a.tx.lost_full, 0u);
}

}  // namespace
}  // namespace unetmap::vale
