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

// Nothing waits for what no port can ever be called.
TEST(AwaitedSettings, OfNamesThatNoPortCanHaveAreRefused) {
  AwaitedSettings awaited;
  const std::string bytes_63 = "vale0:" + std::string(57, 'x');
  for (const std::string& name : {std::string("vale0:a"), std::string("vale0:br-lan.100"), bytes_63}) {
    EXPECT_TRUE(awaited.await(name, {{"lossless", true}}, std::nullopt).has_value()) << name;
    EXPECT_TRUE(awaited.await(name, {{"lossless", false}}, std::nullopt).has_value()) << name;
  }
  for (const std::string& name : {std::string("vale0:a,vale0:b"), std::string("vale0:a:b"), std::string("vale0:\u00e9"),
                                  std::string("vale0:\x1b[31m"), std::string("vale0:a\n"), std::string("vale0:a\0b", 9),
                                  std::string("vale-0:a"), std::string("vale0:"), bytes_63 + "x"}) {
    EXPECT_EQ(awaited.await(name, {{"lossless", true}}, std::nullopt).error().code, EINVAL) << name;
    EXPECT_EQ(awaited.keep(name, {{"lossless", true}}, true).error().code, EINVAL) << name;
    const std::string wanted = name.starts_with("vale0:") && name != "vale0:" ? name : "vale0:b c";
    EXPECT_EQ(awaited.await("vale0:a", {{"mirror", wanted}}, std::nullopt).error().code, EINVAL) << wanted;
  }
  EXPECT_TRUE(awaited.empty());
}

}  // namespace
}  // namespace unetmap::daemon
