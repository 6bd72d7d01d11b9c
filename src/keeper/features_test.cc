// SPDX-License-Identifier: BSD-2-Clause
#include "keeper/features.hh"

#include <gtest/gtest.h>

namespace unetmap::keeper {
namespace {

TEST(Features, ThoseThatSpoilFrames) {
  for (const char* name : {"tx-tcp-segmentation", "tx-generic-segmentation", "tx-udp-segmentation",
                           "tx-gre-csum-segmentation", "tx-checksum-ip-generic", "tx-checksum-sctp", "rx-checksum",
                           "rx-gro", "rx-gro-hw", "rx-lro", "rx-vlan-hw-parse", "tx-vlan-hw-insert", "tx-gso-list"})
    EXPECT_TRUE(spoils_frames(name)) << name;
}

TEST(Features, ThoseThatDoNot) {
  for (const char* name :
       {"tx-scatter-gather", "highdma", "rx-hashing", "rx-vlan-filter", "tx-gso-robust", "tx-gso-partial",
        "tx-nocache-copy", "rx-fcs", "rx-all", "loopback", "hw-tc-offload", "tx-vlan-hw-insert-not", ""})
    EXPECT_FALSE(spoils_frames(name)) << name;
}

TEST(Features, InShort) {
  EXPECT_EQ("rx checksums, tso, gso, gro", in_short({"rx-checksum", "tx-tcp-segmentation", "tx-udp-segmentation",
                                                     "tx-generic-segmentation", "rx-gro", "rx-gro-list"}));
  EXPECT_EQ("", in_short({}));
}

TEST(Features, NoInterfaceNothingToRestore) {
  EXPECT_FALSE(want_features("um-none", {"rx-gro"}));
  auto none = FeaturesOff::apply("um-none", 0x7fffff00);
  if (none) {
    EXPECT_TRUE(none->names().empty());
  }
}

}  // namespace
}  // namespace unetmap::keeper
