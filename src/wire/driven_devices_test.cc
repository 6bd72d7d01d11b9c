// SPDX-License-Identifier: BSD-2-Clause
#include "wire/driven_devices.hh"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace unetmap::wire {
namespace {

TEST(DrivenDevices, NamesOfPassedThroughPorts) {
  EXPECT_EQ(passed_number("ptnet0"), 0u);
  EXPECT_EQ(passed_number("ptnet17"), 17u);
  for (const char* other :
       {"ptnet", "ptnet00", "ptnet01", "ptnet-1", "ptnet1x", "ptnet1000", "eth0", "ptne0", "xptnet0"})
    EXPECT_FALSE(passed_number(other)) << other;
}

TEST(DrivenDevices, FunctionsWithADoorbellInTheOrderOfTheirAddresses) {
  std::string root = testing::TempDir() + "unetmap-sys-XXXXXX";
  ASSERT_NE(mkdtemp(root.data()), nullptr);
  auto add = [&](const char* address, const char* vendor, const char* device, bool doorbell) {
    const std::string folder = root + "/sys/bus/pci/devices/" + address;
    std::filesystem::create_directories(folder);
    std::ofstream(folder + "/vendor") << vendor << "\n";
    std::ofstream(folder + "/device") << device << "\n";
    if (doorbell) std::ofstream(folder + "/resource1") << "";
  };
  EXPECT_TRUE(passed_functions(root).empty());
  add("0000:00:05.0", "0x1af4", "0x1110", true);
  add("0000:00:04.0", "0x1af4", "0x1110", true);
  add("0000:00:03.0", "0x1af4", "0x1110", false);
  add("0000:00:02.0", "0x8086", "0x100e", true);
  EXPECT_EQ(passed_functions(root), (std::vector<std::string>{"0000:00:04.0", "0000:00:05.0"}));
  std::filesystem::remove_all(root);
}

}  // namespace
}  // namespace unetmap::wire
