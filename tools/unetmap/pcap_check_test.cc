// SPDX-License-Identifier: BSD-2-Clause
#include "pcap_check.hh"

#include <gtest/gtest.h>

namespace unetmap::cli {
namespace {

using Words = std::vector<std::string>;

TEST(PcapCheck, FindsThePortInEachForm) {
  EXPECT_EQ(captured_port({"tcpdump", "-n", "-i", "vale0:1"}), "vale0:1");
  EXPECT_EQ(captured_port({"tcpdump", "-ivale0:1", "-n"}), "vale0:1");
  EXPECT_EQ(captured_port({"tcpdump", "--interface=netmap:eth0"}), "netmap:eth0");
  EXPECT_EQ(captured_port({"tcpdump", "--interface", "netmap:eth0"}), "netmap:eth0");
  EXPECT_EQ(captured_port({"tcpdump", "-i", "eth0"}), "");
  EXPECT_EQ(captured_port({"tcpdump", "-r", "vale.pcap", "-i"}), "");
  EXPECT_EQ(captured_port({"bridge", "vale0:1"}), "");
}

TEST(PcapCheck, GivesACommandWithTheOtherWords) {
  EXPECT_EQ(instead_of({"tcpdump", "-n", "-i", "vale0:1", "udp", "port", "53"}, "vale0:1"),
            "unetmap capture vale0:1 | tcpdump -r - -n udp port 53");
  EXPECT_EQ(instead_of({"tcpdump", "-ivale0:1{2", "src host 10.0.0.1"}, "vale0:1{2"),
            "unetmap capture 'vale0:1{2' | tcpdump -r - 'src host 10.0.0.1'");
}

TEST(PcapCheck, HasNothingAgainstProgramsWithoutLibpcap) {
  EXPECT_EQ(lacks_netmap("/bin/cat", {"cat", "-i", "vale0:1"}), "");
  EXPECT_EQ(lacks_netmap("/etc/passwd", {"passwd", "-i", "vale0:1"}), "");
}

}  // namespace
}  // namespace unetmap::cli
