// SPDX-License-Identifier: BSD-2-Clause
#include "worker/e1000_parameters.hh"

#include <gtest/gtest.h>

namespace unetmap::worker {
namespace {

TEST(E1000Parameters, HaveDefaults) {
  auto config = e1000_parameters("vale0:01", Json::object());
  ASSERT_TRUE(config);
  EXPECT_TRUE(config->mitigation);
  EXPECT_FALSE(config->paravirt);
  EXPECT_EQ(config->least_itr, 0);
  EXPECT_EQ(config->mac[0], 2);
  // The same with each start, and another for each port.
  EXPECT_EQ(e1000_parameters("vale0:01", Json::object())->mac, config->mac);
  EXPECT_NE(e1000_parameters("vale0:02", Json::object())->mac, config->mac);
  EXPECT_NE(e1000_parameters("vale1:01", Json::object())->mac, config->mac);
}

TEST(E1000Parameters, AreTakenAsTheyAreSaid) {
  auto config = e1000_parameters(
      "vale0:01", {{"mac", "52:54:00:AB:cd:01"}, {"paravirt", true}, {"mitigation", true}, {"itr_us", 100u}});
  ASSERT_TRUE(config) << config.error().text;
  EXPECT_EQ(mac_text(config->mac), "52:54:00:ab:cd:01");
  EXPECT_TRUE(config->paravirt);
  EXPECT_EQ(config->least_itr, 390);  // of 256 ns
}

TEST(E1000Parameters, RefuseWhatCannotBe) {
  const Json wrong[] = {{{"mac", "52:54:00:ab:cd"}},
                        {{"mac", "52:54:00:ab:cd:01:02"}},
                        {{"mac", "52:54:00:ab:cd:0"}},
                        {{"mac", "+2:54:00:ab:cd:01"}},
                        {{"mac", "01:00:5e:00:00:01"}},
                        {{"mac", "00:00:00:00:00:00"}},
                        {{"mac", 7}},
                        {{"paravirt", 1}},
                        {{"mitigation", "on"}},
                        {{"itr_us", 16777}},
                        {{"itr_us", -1}},
                        {{"itr_us", 10}, {"mitigation", false}}};
  for (const Json& each : wrong) EXPECT_FALSE(e1000_parameters("vale0:01", each)) << each;
}

}  // namespace
}  // namespace unetmap::worker
