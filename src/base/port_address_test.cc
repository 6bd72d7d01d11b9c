// SPDX-License-Identifier: BSD-2-Clause
#include "base/port_address.hh"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace unetmap {
namespace {

TEST(PortAddress, IsOfOneStationAndLocal) {
  for (const char* name : {"", "vale0:1", "vale0:a{1", "a port of a very long name indeed"}) {
    EXPECT_EQ(port_address(name)[0] & 3, 2) << name;
  }
}

TEST(PortAddress, IsTheNamesOwn) {
  EXPECT_EQ(port_address("vale0:1"), port_address(std::string("vale0:") + "1"));
  std::set<std::array<uint8_t, 6>> seen;
  for (int sw = 0; sw < 10; sw++)
    for (int port = 0; port < 254; port++)
      seen.insert(port_address("vale" + std::to_string(sw) + ":" + std::to_string(port)));
  EXPECT_EQ(seen.size(), 2540u);
}

}  // namespace
}  // namespace unetmap
