// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/interface/origin.hh"

#include <fcntl.h>
#include <gtest/gtest.h>

namespace unetmap::daemon {
namespace {

TEST(Origin, WithoutDescriptorsIsOurs) {
  const Origin origin;
  EXPECT_TRUE(origin.own());
  EXPECT_EQ(origin.inode(), 0u);
  EXPECT_TRUE(origin.is_interface("lo"));
  EXPECT_FALSE(origin.is_interface("nosuch0"));
  EXPECT_EQ(origin.interface_name("lo"), "lo");
  EXPECT_EQ(origin.interface_name("nosuch0"), "");
  EXPECT_EQ(origin.keeper_key("attach", "eth0"), "attach eth0");
}

TEST(Origin, OurOwnNamespaceIsOursHoweverItIsShown) {
  Origin origin;
  origin.name_space = UniqueFd(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  EXPECT_TRUE(origin.own());
  EXPECT_EQ(origin.inode(), 0u);
}

// What a client shows may be anything.
TEST(Origin, NoNamespaceIsNobodys) {
  Origin origin;
  origin.name_space = UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(origin.own());
  EXPECT_FALSE(origin.is_passed_through("ptnet0"));
  EXPECT_EQ(origin.keeper_key("attach", "eth0"), "attach eth0");
}

}  // namespace
}  // namespace unetmap::daemon
