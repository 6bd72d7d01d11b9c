// SPDX-License-Identifier: BSD-2-Clause
#include "replay.hh"

#include <gtest/gtest.h>

namespace unetmap::cli {
namespace {

TEST(Difference, NamesTheFirstByte) {
  EXPECT_EQ(difference(1, "abc", "abc"), "");
  EXPECT_EQ(difference(7, "abc", "aXc"), "packet 7: byte 1 went in as 0x62 and came out as 0x58");
  EXPECT_EQ(difference(7, std::string("\xff", 1), std::string("\0", 1)),
            "packet 7: byte 0 went in as 0xff and came out as 0x00");
}

TEST(Difference, NamesLengths) { EXPECT_EQ(difference(2, "abc", "ab"), "packet 2: 3 bytes went in, 2 came out"); }

TEST(ReplayOutcome, IsIdenticalOnlyWhenEverythingCameBack) {
  ReplayOutcome outcome;
  EXPECT_FALSE(outcome.identical());
  outcome.sent_packets = 2;
  outcome.received_packets = 1;
  EXPECT_FALSE(outcome.identical());
  outcome.received_packets = 2;
  EXPECT_TRUE(outcome.identical());
  outcome.mismatches = 1;
  EXPECT_FALSE(outcome.identical());
}

TEST(Replay, SaysWhichFileCannotBeRead) {
  auto outcome = replay({.capture = "/nonexistent/x.pcap"});
  ASSERT_FALSE(outcome.has_value());
  EXPECT_EQ(outcome.error().text, "capture /nonexistent/x.pcap: No such file or directory; give a pcap or pcapng file");
}

}  // namespace
}  // namespace unetmap::cli
