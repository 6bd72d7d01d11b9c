// SPDX-License-Identifier: BSD-2-Clause
// A network namespace of the test program's own, and in it a daemon and a veth pair for one test.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "nic_port.hh"

namespace nic_fixture {

using namespace nic_port;

// Puts the test program into a network namespace of its own. `inside`: that went well.
class OwnNamespaceTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (inside || geteuid() != 0 || unshare(CLONE_NEWNET) != 0) return;
    inside =
        sh("ip link set lo up && sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1");
  }
  // How many interfaces there are whose names begin so.
  static size_t interfaces_named(const char* beginning) {
    size_t found = 0;
    auto* all = if_nameindex();
    for (auto* each = all; each && each->if_index; each++) found += std::string(each->if_name).starts_with(beginning);
    if_freenameindex(all);
    return found;
  }
  static inline bool inside = false;
};

// um0 and um1 are each other's ends, in the program's own namespace.
class NicTest : public OwnNamespaceTest {
 protected:
  void begin(const std::string& mode, const std::string& veth = "") {
    if (!inside) GTEST_SKIP() << "takes root, to make network namespaces";
    ASSERT_TRUE(sh("ip link add um0 " + veth + " type veth peer name um1 " + veth +
                   " && ip link set um0 up && ip link set um1 up"));
    before = state_of("um0");
    daemon.emplace(std::vector<std::string>{"--nic-mode", mode});
    ASSERT_TRUE(daemon->listening());
  }
  void SetUp() override { begin("auto"); }
  void TearDown() override {
    if (!inside) return;
    std::string now;
    eventually([&] { return (now = state_of("um0")) == before; }, 200);
    EXPECT_EQ(before, now) << output("ls -l /proc/" + std::to_string(getpid()) + "/fd");
    daemon.reset();
    sh("ip link del um0");
  }
  std::optional<Daemon> daemon;
  std::string before;
};

}  // namespace nic_fixture
