// SPDX-License-Identifier: BSD-2-Clause
#include "frame_text.hh"

#include <gtest/gtest.h>

#include <algorithm>
#include <initializer_list>
#include <vector>

namespace unetmap::cli {
namespace {

using Frame = std::vector<uint8_t>;

Frame ethernet(std::initializer_list<int> rest) {
  const Frame addresses{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1};
  Frame out(addresses.size() + rest.size());
  std::copy(rest.begin(), rest.end(), std::copy(addresses.begin(), addresses.end(), out.begin()));
  return out;
}

constexpr const char* kAddresses = "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff";

TEST(FrameText, NamesWhatPeopleLookFor) {
  Frame udp = ethernet({8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 1, 0, 1, 0, 9, 0x1f, 0x90});
  EXPECT_EQ(frame_text(udp, 60), std::string(kAddresses) + " IPv4 10.0.0.1:9 > 10.1.0.1:8080 UDP, 60 bytes");
  udp[20] = 0;
  udp[21] = 5;  // a later fragment has no ports
  EXPECT_EQ(frame_text(udp, 60), std::string(kAddresses) + " IPv4 10.0.0.1 > 10.1.0.1 UDP fragment, 60 bytes");
  EXPECT_EQ(frame_text(ethernet({0x81, 0, 0x20, 7, 0x88, 0xcc}), 18),
            std::string(kAddresses) + " vlan 7 type 0x88cc, 18 bytes");
  Frame who = ethernet({8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2});
  EXPECT_EQ(frame_text(who, 42), std::string(kAddresses) + " ARP who has 10.0.0.2? tell 10.0.0.1, 42 bytes");
  who[21] = 2;
  EXPECT_EQ(frame_text(who, 42), std::string(kAddresses) + " ARP 10.0.0.1 is at 02:00:00:00:00:01, 42 bytes");
  EXPECT_EQ(frame_text(ethernet({0, 38}), 60), std::string(kAddresses) + " 802.3, 60 bytes");
  Frame six = ethernet({0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, 58, 255});
  six.resize(14 + 40);
  six[14 + 23] = 1;
  EXPECT_EQ(frame_text(six, 62), std::string(kAddresses) + " IPv6 [::1] > [::] ICMP, 62 bytes");
}

// Whatever a frame begins with, and wherever it ends (the sanitizers look on).
TEST(FrameText, TakesAnything) {
  for (int high : {0x08, 0x81, 0x86, 0x88, 0x00})
    for (int low : {0x00, 0x06, 0xdd, 0xa8})
      for (int first : {0x45, 0x4f, 0x40, 0x60, 0x00, 0xff})
        for (size_t size = 0; size < 80; size++) {
          Frame frame(80, uint8_t(first));
          frame[12] = uint8_t(high);
          frame[13] = uint8_t(low);
          const Frame cut(frame.begin(), frame.begin() + long(size));
          EXPECT_FALSE(frame_text(cut, size).empty());
        }
}

}  // namespace
}  // namespace unetmap::cli
