// SPDX-License-Identifier: BSD-2-Clause
#include <gtest/gtest.h>

#include "daemon/setting/awaited.hh"

namespace unetmap::daemon {
namespace {

bool nobody(const std::string&) { return false; }

TEST(AwaitedSettings, WaitForOnePortOrForEach) {
  AwaitedSettings awaited;
  EXPECT_TRUE(awaited.await("vale0:a", {{"lossless", true}}, std::nullopt).has_value());
  EXPECT_TRUE(awaited.await("vale0:b", {{"lossless", true}}, true).has_value());
  EXPECT_FALSE(awaited.keeps("vale0:a"));
  EXPECT_TRUE(awaited.keeps("vale0:b"));
  for (int life = 0; life < 2; life++) {
    EXPECT_EQ(awaited.take("vale0:a").has_value(), life == 0);
    EXPECT_TRUE(awaited.take("vale0:b").has_value());
  }
  EXPECT_FALSE(awaited.empty());
  EXPECT_TRUE(awaited.await("vale0:b", {{"lossless", false}}, std::nullopt).has_value());
  EXPECT_TRUE(awaited.empty());
}

TEST(AwaitedSettings, OfAPortThatIsThereAreTheOnesItHas) {
  AwaitedSettings awaited;
  EXPECT_TRUE(awaited.keep("vale0:a", {{"lossless", true}}, true).has_value());
  EXPECT_EQ(awaited.json(nobody).size(), 1u);
  EXPECT_TRUE(awaited.json([](const std::string& name) { return name == "vale0:a"; }).empty());
  EXPECT_TRUE(awaited.keep("vale0:a", {{"lossless", true}}, false).has_value());
  EXPECT_TRUE(awaited.empty());
  EXPECT_EQ(awaited.keep("eth0", {{"lossless", true}}, true).error().code, EINVAL);
  EXPECT_EQ(awaited.await("eth0", {{"lossless", true}}, true).error().code, ENXIO);
}

}  // namespace
}  // namespace unetmap::daemon
