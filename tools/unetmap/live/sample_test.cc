// SPDX-License-Identifier: BSD-2-Clause
#include "sample.hh"

#include <gtest/gtest.h>

#include "base/json.hh"

namespace unetmap::cli::live {
namespace {

Json port(const char* name, uint64_t unique, uint64_t sent, uint64_t lost) {
  return {{"name", name},
          {"kind", "vale"},
          {"switch", "vale0"},
          {"unique", unique},
          {"sleeps", sent / 10},
          {"asleep", true},
          {"tx", {{"packets", sent}, {"bytes", 60 * sent}, {"slots", 1023}, {"used", 512}, {"lost", {{"full", lost}}}}},
          {"rx", {{"packets", 0}, {"bytes", 0}, {"slots", 1023}, {"used", 0}}},
          {"pids", {1, 2}}};
}

Json answer(uint64_t at_ns, std::initializer_list<Json> ports) {
  return {{"at_ns", at_ns}, {"ports", Json(ports)}, {"gone", Json::array()}};
}

Sample read(const Json& answer) {
  auto sample = sample_of(json_text(answer));
  EXPECT_TRUE(sample);
  return sample ? *sample : Sample();
}

TEST(Sample, TakesAnAnswerApart) {
  Json whole = answer(5, {port("vale0:a", 7, 100, 3)});
  whole["gone"] =
      Json::array({{{"name", "vale0:x"}, {"gone_s", 2.5}, {"tx", {{"packets", 9}}}, {"rx", Json::object()}}});
  const Sample sample = read(whole);
  EXPECT_EQ(sample.at_ns, 5u);
  ASSERT_EQ(sample.ports.size(), 1u);
  const Port& a = sample.ports[0];
  EXPECT_EQ(a.name, "vale0:a");
  EXPECT_EQ(a.tx.packets, 100u);
  EXPECT_EQ(a.tx.all_lost(), 3u);
  EXPECT_NEAR(a.tx.fill(), 0.5, 0.01);
  EXPECT_EQ(a.pids, (std::vector<pid_t>{1, 2}));
  EXPECT_TRUE(a.asleep);
  ASSERT_EQ(sample.gone.size(), 1u);
  EXPECT_EQ(sample.gone[0].port.tx.packets, 9u);
  EXPECT_DOUBLE_EQ(sample.gone[0].gone_s, 2.5);
}

TEST(Sample, OtherShapesCountAsAbsent) {
  for (const char* text : {"null", "[]", "{}", R"({"ports":{}})", R"({"ports":[1,"x",null]})",
                           R"({"ports":[{"tx":[],"rx":3,"pids":{},"name":5}]})", R"({"gone":[{"gone_s":"long"}]})",
                           R"({"ports":[{"tx":{"lost":[1],"used":99,"slots":3}}]})"}) {
    const Sample sample = read(parse_json(text));
    for (const Port& each : sample.ports) {
      EXPECT_EQ(each.tx.packets, 0u) << text;
      EXPECT_LE(each.tx.fill(), 1.0) << text;
    }
  }
}

TEST(Sample, WhatIsNoJsonIsNone) {
  for (const char* text : {"", "{", R"({"ports":[{"name":"a")", "{}{}"}) EXPECT_FALSE(sample_of(text)) << text;
  // However deep: what is not known is passed over.
  const std::string deep = R"({"x":)" + std::string(1000, '[') + R"({"ports":[1]})" + std::string(1000, ']') + R"(,"ports":[{"name":"a"}]})";
  auto sample = sample_of(deep);
  ASSERT_TRUE(sample);
  ASSERT_EQ(sample->ports.size(), 1u);
  EXPECT_EQ(sample->ports[0].name, "a");
}

TEST(Rates, AreDifferencesASecond) {
  const Sample before = read(answer(1'000'000'000, {port("vale0:a", 7, 100, 0)}));
  const Sample after = read(answer(3'000'000'000, {port("vale0:b", 8, 50, 0), port("vale0:a", 7, 300, 40)}));
  const std::vector<Rate> rates = rates_between(before, after);
  ASSERT_EQ(rates.size(), 2u);
  EXPECT_EQ(rates[0].tx_packets, 0) << "was not there before";
  EXPECT_EQ(rates[1].tx_packets, 100);
  EXPECT_EQ(rates[1].tx_bits, 48000);
  EXPECT_EQ(rates[1].lost, 20);
  EXPECT_EQ(rates[1].sleeps, 10);
  EXPECT_EQ(rates[1].packet_bytes(), 60);
}

TEST(Rates, APortMadeAnewUnderItsNameBegins) {
  const Sample before = read(answer(1, {port("vale0:a", 7, 100, 0)}));
  const Sample after = read(answer(1'000'000'001, {port("vale0:a", 9, 300, 0)}));
  EXPECT_EQ(rates_between(before, after)[0].tx_packets, 0);
}

TEST(Rates, WithoutTimeThereAreNone) {
  const Sample sample = read(answer(1, {port("vale0:a", 7, 100, 0)}));
  EXPECT_EQ(rates_between(sample, sample)[0].tx_packets, 0);
}

}  // namespace
}  // namespace unetmap::cli::live
