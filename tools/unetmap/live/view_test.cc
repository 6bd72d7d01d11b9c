// SPDX-License-Identifier: BSD-2-Clause
#include "view.hh"

#include <gtest/gtest.h>
#include <unistd.h>

namespace unetmap::cli::live {
namespace {

Port port(const char* name, uint64_t unique, uint64_t sent) {
  Port out;
  out.name = name;
  out.sw = "vale0";
  out.kind = "vale";
  out.unique = unique;
  out.tx.packets = sent;
  out.tx.bytes = 60 * sent;
  out.tx.slots = out.rx.slots = 1023;
  out.pids = {pid_t(unique)};
  return out;
}

Sample sample(uint64_t seconds, std::vector<Port> ports) { return {seconds * 1'000'000'000, std::move(ports), {}}; }

bool two_is_stopped(pid_t pid) { return pid == 2; }

View two_seconds() {
  View view(two_is_stopped);
  view.add(sample(1, {port("vale0:a", 1, 0), port("vale0:b", 2, 0), port("vale1:c", 3, 0)}));
  view.add(sample(2, {port("vale0:a", 1, 10), port("vale0:b", 2, 3000), port("vale1:c", 3, 200)}));
  return view;
}

std::vector<std::string> names(const std::vector<Row>& rows) {
  std::vector<std::string> out;
  for (const Row& row : rows) out.push_back(row.port->name);
  return out;
}

TEST(View, SortsFiltersAndReverses) {
  const View view = two_seconds();
  using Names = std::vector<std::string>;
  EXPECT_EQ(names(view.rows({Order::kSent, false, ""})), (Names{"vale0:b", "vale1:c", "vale0:a"}));
  EXPECT_EQ(names(view.rows({Order::kSent, true, ""})), (Names{"vale0:a", "vale1:c", "vale0:b"}));
  EXPECT_EQ(names(view.rows({Order::kName, false, ""})), (Names{"vale0:a", "vale0:b", "vale1:c"}));
  EXPECT_EQ(names(view.rows({Order::kName, false, "vale0"})), (Names{"vale0:a", "vale0:b"}));
  EXPECT_TRUE(view.rows({Order::kName, false, "nothing"}).empty());
}

TEST(View, TellsWhoIsStoppedAsleepOrGone) {
  View view(two_is_stopped);
  Port asleep = port("vale0:a", 1, 0), stopped = port("vale0:b", 2, 0), plug = port("vale0:c", 3, 0),
       held = port("vale0:d", 4, 0);
  asleep.asleep = true;
  stopped.asleep = true;
  plug.connected = false;
  held.pids.clear();
  view.add(sample(1, {asleep, stopped, plug, held}));
  const std::vector<Row> rows = view.rows({Order::kName, false, ""});
  EXPECT_EQ(rows[0].life, Life::kAsleep);
  EXPECT_EQ(rows[1].life, Life::kStopped);
  EXPECT_EQ(rows[2].life, Life::kUnplugged);
  EXPECT_EQ(rows[3].life, Life::kNobody);
  EXPECT_FALSE(process_is_stopped(getpid()));
}

TEST(View, LinesFitEightyColumns) {
  View view(two_is_stopped);
  Port big = port("vale0:a-name-that-is-far-too-long-for-a-column", 1, 0);
  view.add(sample(1, {big}));
  big.tx.packets = 123'456'789'012;
  big.tx.bytes = 65535 * big.tx.packets;
  big.rx.packets = big.tx.packets;
  big.rx.bytes = big.tx.bytes;
  big.tx.used = big.rx.used = 1023;
  big.tx.lost["full"] = 99'999'999'999;
  big.sleeps = 99'999'999;
  view.add(sample(2, {big}));
  EXPECT_LE(View::head().size(), 80u);
  for (const Row& row : view.rows({})) EXPECT_LE(View::line(row).size(), 80u) << View::line(row);
}

TEST(View, APageShowsEveryCause) {
  View view(two_is_stopped);
  Port lossy = port("vale0:a", 1, 0);
  lossy.tx.lost = {{"noport", 5}, {"some-new-cause", 6}};
  view.add(sample(1, {lossy}));
  std::string page;
  for (const std::string& line : view.page(view.rows({})[0], 80)) page += line + "\n";
  EXPECT_NE(page.find("noport"), std::string::npos);
  EXPECT_NE(page.find("nobody to deliver to"), std::string::npos);
  EXPECT_NE(page.find("some-new-cause"), std::string::npos);
}

TEST(View, HistoryIsBoundedAndGoesWithThePort) {
  View view(two_is_stopped);
  for (uint64_t i = 1; i < 400; i++) view.add(sample(i, {port("vale0:a", 1, 10 * i)}));
  EXPECT_EQ(view.history(1).size(), View::kHistory);
  EXPECT_EQ(view.history(1).back().tx_packets, 10);
  view.add(sample(400, {}));
  EXPECT_TRUE(view.history(1).empty());
}

TEST(Sparkline, ScalesToTheLargest) {
  std::deque<Rate> history(4);
  history[1].tx_packets = 1;
  history[2].tx_packets = 4;
  history[3].tx_packets = 8;
  EXPECT_EQ(sparkline(history, &Rate::tx_packets, 10), " ▁▄█");
  EXPECT_EQ(sparkline(history, &Rate::tx_packets, 1), "█");
  EXPECT_EQ(sparkline(history, &Rate::lost, 10), "    ");
}

}  // namespace
}  // namespace unetmap::cli::live
