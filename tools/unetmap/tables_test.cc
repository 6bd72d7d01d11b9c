// SPDX-License-Identifier: BSD-2-Clause
#include "tables.hh"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

namespace unetmap::cli {
namespace {

size_t widest(const std::string& table) {
  size_t width = 0;
  std::istringstream in(table);
  for (std::string line; std::getline(in, line);) width = std::max(width, line.size());
  return width;
}
size_t lines(const std::string& table) { return size_t(std::count(table.begin(), table.end(), '\n')); }

constexpr uint64_t kHuge = UINT64_MAX;
const std::string kLongName = "vale" + std::string(28, 's') + ":" + std::string(30, 'p');

Json counters(uint64_t packets, uint64_t bytes, uint64_t lost) {
  return {{"packets", packets},  {"bytes", bytes},
          {"syncs", 1},          {"lost_full", lost},
          {"lost_malformed", 0}, {"rings", Json::array({{{"packets", packets}, {"lost_full", lost}}})}};
}
Json port(const std::string& name, Json tx, Json rx) {
  return {{"name", name}, {"tx", std::move(tx)}, {"rx", std::move(rx)}};
}
Json stats(std::initializer_list<Json> ports) { return {{"ports", Json(ports)}}; }

TEST(ShortNumber, KeepsThreeDigits) {
  EXPECT_EQ(short_number(0), "0");
  EXPECT_EQ(short_number(999), "999");
  EXPECT_EQ(short_number(999.7), "1.00K");
  EXPECT_EQ(short_number(1234), "1.23K");
  EXPECT_EQ(short_number(12345), "12.3K");
  EXPECT_EQ(short_number(123456), "123K");
  EXPECT_EQ(short_number(999499), "999K");
  EXPECT_EQ(short_number(999500), "1.00M");
  EXPECT_EQ(short_number(9.996e6), "10.0M");
  EXPECT_EQ(short_number(double(kHuge)), "18.4E");
}

TEST(ShortName, CutsTheMiddle) {
  EXPECT_EQ(short_name("vale0:a", 7), "vale0:a");
  EXPECT_EQ(short_name("vale0:abc", 7), "val~abc");
  EXPECT_EQ(short_name(kLongName, 24).size(), 24u);
}

TEST(Tables, FitEightyColumns) {
  Json tx = counters(kHuge, kHuge, kHuge);
  Json all = stats({port(kLongName, tx, tx)});
  EXPECT_LE(widest(stats_table(all)), 80u);
  EXPECT_LE(widest(rates_table(stats({}), all, 1e-6)), 80u);
  Json ports = {{"ports",
                 {{{"name", kLongName},
                   {"kind", "persistent"},
                   {"tx_rings", 64},
                   {"tx_slots", 65536},
                   {"rx_rings", 64},
                   {"rx_slots", 65536},
                   {"users", 99999},
                   {"lossless", true}}}}};
  EXPECT_LE(widest(ports_table(ports)), 80u);
  Json every = {{"packets", kHuge}};
  for (const char* cause : {"full", "malformed", "buffer", "indirect", "noport", "convert", "oversize", "corrupt"})
    every[std::string("lost_") + cause] = kHuge;
  EXPECT_LE(widest(stats_of_port(port("a", every, every))), 80u);
  Json fdb = {{"entries", {{{"mac", "02:00:00:00:00:01"}, {"port", kLongName}, {"age_s", 86400}}}}};
  EXPECT_LE(widest(fdb_table(fdb)), 80u);
  ReplayOutcome outcome;
  outcome.sent_packets = outcome.received_packets = 1u << 30;
  outcome.sent_bytes = outcome.received_bytes = 1ull << 50;
  outcome.truncated = outcome.long_packets = outcome.too_short = outcome.too_long = 1u << 30;
  EXPECT_LE(widest(replay_table(outcome, "a.pcap")), 80u);
}

TEST(PortsTable, ShowsPersistentPortsOnce) {
  Json answer = {
      {"ports", {{{"name", "vale0:p1"}, {"kind", "persistent"}, {"users", 0}}}},
      {"persistent", {{{"name", "p1"}, {"port", "vale0:p1"}}, {{"name", "p2"}, {"port", ""}, {"tx_rings", 2}}}}};
  std::string table = ports_table(answer);
  EXPECT_EQ(lines(table), 3u);  // with the header
  EXPECT_NE(table.find("\np2 "), std::string::npos);
  EXPECT_NE(table.find("2 x 0"), std::string::npos);
}

TEST(PortsTable, MarksPersistentPortsThatNobodyCanUseAnyMore) {
  Json answer = {{"ports", Json::array()},
                 {"persistent",
                  {{{"name", "p1"}, {"port", "vale0:p1"}, {"abandoned", true}},
                   {{"name", "p2"}, {"port", ""}, {"abandoned", true}},
                   {{"name", "p3"}, {"port", ""}, {"abandoned", false}}}}};
  std::string table = ports_table(answer);
  EXPECT_NE(table.find("p1: no process is left in its network namespace"), std::string::npos);
  EXPECT_NE(table.find("\n  vale-ctl -d vale0:p1; vale-ctl -r p1\n"), std::string::npos);
  EXPECT_NE(table.find("\n  vale-ctl -r p2\n"), std::string::npos);
  EXPECT_EQ(table.find("p3:"), std::string::npos);
}

TEST(StatsTable, SumsLossesOfEveryCause) {
  Json tx = {{"packets", 5}, {"lost_full", 2}, {"lost_noport", 3}, {"reinits", 100}};
  std::string table = stats_table(stats({port("a", tx, Json::object())}));
  std::istringstream in(table.substr(table.find('\n')));
  std::string name, sent, bytes, lost;
  in >> name >> sent >> bytes >> lost;
  EXPECT_EQ(name + " " + sent + " " + bytes + " " + lost, "a 5 0 5");
}

TEST(StatsOfPort, NamesEachCounterExactly) {
  std::string text = stats_of_port(port("vale0:a", counters(12345678901, 7, 2), counters(1, 2, 3)));
  EXPECT_NE(text.find("12345678901"), std::string::npos);
  EXPECT_NE(text.find("rx lost_full                         3  no room"), std::string::npos) << text;
  EXPECT_EQ(text.find("tx rings"), std::string::npos);
}

TEST(StatsOfPort, TellsWhatIsPluggedIn) {
  Json it = port("vale0:a", counters(1, 2, 3), counters(1, 2, 3));
  EXPECT_EQ(stats_of_port(it).find("plugged in"), std::string::npos);
  it["plug"] = {{"kind", "e1000"},
                {"status", {{"register_reads", 42}, {"mac", "52:54:00:12:34:56"}, {"broken", false}}}};
  std::string text = stats_of_port(it);
  EXPECT_NE(text.find("plugged in: e1000\n  register_reads                           42\n"), std::string::npos) << text;
  EXPECT_NE(text.find(" 52:54:00:12:34:56\n"), std::string::npos);
  EXPECT_NE(text.find(" false\n"), std::string::npos);
}

TEST(Rates, AreDifferencesOverTime) {
  Json before = stats({port("a", counters(100, 1000, 10), counters(0, 0, 0))});
  Json after =
      stats({port("a", counters(300, 2000, 14), counters(0, 0, 2)), port("new", counters(8, 8, 0), counters(0, 0, 0))});
  Json rates = rates_json(before, after, 2)["ports"];
  EXPECT_EQ(rates[0]["tx_pps"], 100);
  EXPECT_EQ(rates[0]["tx_bps"], 4000);
  EXPECT_EQ(rates[0]["lost_pps"], 3);
  EXPECT_EQ(rates[1]["tx_pps"], 4);
}

TEST(Rates, OfAPortMadeAnewAreNotNegative) {
  Json rates = rates_json(stats({port("a", counters(100, 1, 0), counters(0, 0, 0))}),
                          stats({port("a", counters(4, 1, 0), counters(0, 0, 0))}), 1);
  EXPECT_EQ(rates["ports"][0]["tx_pps"], 0);
}

TEST(Tables, BearAnswersOfAnotherShape) {
  EXPECT_EQ(lines(ports_table(Json::object())), 1u);
  EXPECT_EQ(lines(stats_table({{"ports", 3}})), 1u);
  EXPECT_EQ(lines(ports_table({{"ports", {{{"name", 5}}}}})), 2u);
  EXPECT_EQ(lines(fdb_table({{"entries", {{{"mac", nullptr}}}}})), 2u);
}

}  // namespace
}  // namespace unetmap::cli
