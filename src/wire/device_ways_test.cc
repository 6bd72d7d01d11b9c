// SPDX-License-Identifier: BSD-2-Clause
#include "wire/device_ways.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace unetmap::wire {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr const char* kAddress = "0000:00:03.0";

// A machine's /sys and /dev below a folder, with one function.
class FakeTree : public testing::Test {
 protected:
  FakeTree() {
    EXPECT_NE(mkdtemp(root.data()), nullptr);
    fs::create_directories(root + "/sys/bus/pci/drivers");
    std::string config(64, '\0');
    config[0x3d] = 1;
    write("/sys/bus/pci/devices/0000:00:03.0/config", config);
  }
  ~FakeTree() override { fs::remove_all(root); }
  void write(const std::string& path, const std::string& text) {
    fs::create_directories(fs::path(root + path).parent_path());
    std::ofstream(root + path) << text;
  }
  void driver(const char* name) { fs::create_directories(root + "/sys/bus/pci/drivers/" + name); }
  void drive(const std::string& address, const char* name) {
    fs::create_directories(root + "/sys/bus/pci/devices/" + address);
    fs::create_symlink(root + "/sys/bus/pci/drivers/" + name, root + "/sys/bus/pci/devices/" + address + "/driver");
  }
  void put_behind_iommu(const char* type) {
    write("/sys/kernel/iommu_groups/7/type", std::string(type) + "\n");
    fs::create_directories(root + "/sys/kernel/iommu_groups/7/devices/" + kAddress);
    fs::create_symlink("../../../kernel/iommu_groups/7", root + "/sys/bus/pci/devices/" + kAddress + "/iommu_group");
  }
  std::string why(DeviceWay way) { return obstacle(way, look_at_ways(kAddress, root)); }
  std::string root = testing::TempDir() + "unetmap-ways-XXXXXX";
};

TEST_F(FakeTree, AMachineWithNothingHasRegistersAlone) {
  EXPECT_THAT(why(DeviceWay::kVfio), HasSubstr("no IOMMU"));
  EXPECT_THAT(why(DeviceWay::kVfioAlone), HasSubstr("modprobe vfio-pci"));
  EXPECT_THAT(why(DeviceWay::kUio), HasSubstr("modprobe uio_pci_generic"));
  EXPECT_EQ(why(DeviceWay::kSysfs), "");
}

TEST_F(FakeTree, BehindAnIommuItTakesVfio) {
  put_behind_iommu("DMA-FQ");
  EXPECT_THAT(why(DeviceWay::kVfio), HasSubstr("modprobe vfio-pci"));
  driver("vfio-pci");
  EXPECT_THAT(why(DeviceWay::kVfio), HasSubstr("/dev/vfio/vfio"));
  write("/dev/vfio/vfio", "");
  EXPECT_EQ(why(DeviceWay::kVfio), "");
  EXPECT_THAT(why(DeviceWay::kVfioAlone), HasSubstr("an IOMMU"));
  driver("uio_pci_generic");
  EXPECT_THAT(why(DeviceWay::kUio), HasSubstr("behind an IOMMU"));
  EXPECT_THAT(why(DeviceWay::kSysfs), HasSubstr("behind an IOMMU"));
  EXPECT_TRUE(look_at_ways(kAddress, root).translated());
}

TEST_F(FakeTree, AnIommuThatChangesNothing) {
  put_behind_iommu("identity");
  EXPECT_FALSE(look_at_ways(kAddress, root).translated());
  EXPECT_EQ(why(DeviceWay::kSysfs), "");
}

TEST_F(FakeTree, AVirtioDeviceThatBypassesItsIommu) {
  put_behind_iommu("DMA");
  std::string bits(64, '0');
  bits[32] = '1';
  write("/sys/bus/pci/devices/0000:00:03.0/virtio0/features", bits + "\n");
  EXPECT_FALSE(look_at_ways(kAddress, root).translated());
  bits[33] = '1';
  write("/sys/bus/pci/devices/0000:00:03.0/virtio0/features", bits + "\n");
  EXPECT_TRUE(look_at_ways(kAddress, root).translated());
}

TEST_F(FakeTree, AGroupOfWhichAnotherHasAPart) {
  put_behind_iommu("DMA");
  driver("vfio-pci");
  driver("ahci");
  driver("pcieport");
  write("/dev/vfio/vfio", "");
  fs::create_directories(root + "/sys/kernel/iommu_groups/7/devices/0000:00:1c.0");
  drive("0000:00:1c.0", "pcieport");
  EXPECT_EQ(why(DeviceWay::kVfio), "");
  fs::create_directories(root + "/sys/kernel/iommu_groups/7/devices/0000:00:04.0");
  drive("0000:00:04.0", "ahci");
  EXPECT_THAT(why(DeviceWay::kVfio), HasSubstr("echo 0000:00:04.0 >/sys/bus/pci/drivers/ahci/unbind"));
}

TEST_F(FakeTree, WithoutAnIommuVfioHasToBeAllowed) {
  driver("vfio-pci");
  EXPECT_THAT(why(DeviceWay::kVfioAlone), HasSubstr("CONFIG_VFIO_NOIOMMU"));
  write("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "N\n");
  EXPECT_THAT(why(DeviceWay::kVfioAlone), HasSubstr("echo 1 >"));
  write("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n");
  EXPECT_EQ(why(DeviceWay::kVfioAlone), "");
}

TEST_F(FakeTree, UioTakesALine) {
  driver("uio_pci_generic");
  EXPECT_EQ(why(DeviceWay::kUio), "");
  write("/sys/bus/pci/devices/0000:00:03.0/config", std::string(64, '\0'));
  EXPECT_THAT(why(DeviceWay::kUio), HasSubstr("line interrupt"));
}

TEST_F(FakeTree, ALockedDownKernel) {
  write("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
  EXPECT_THAT(why(DeviceWay::kUio), HasSubstr("locked down (integrity)"));
  EXPECT_THAT(why(DeviceWay::kSysfs), HasSubstr("locked down (integrity)"));
  put_behind_iommu("DMA");
  driver("vfio-pci");
  write("/dev/vfio/vfio", "");
  EXPECT_EQ(why(DeviceWay::kVfio), "");
}

TEST_F(FakeTree, WhatStandsOnAnInterface) {
  fs::create_directories(root + "/sys/class/net/eth0");
  EXPECT_EQ(user_of_interface("eth0", root), "");
  fs::create_directories(root + "/sys/class/net/eth0/upper_eth0.5");
  EXPECT_EQ(user_of_interface("eth0", root), "eth0.5 stands on it");
}

TEST(DeviceWays, TheFirstNamespaceIsKnownAndNoOther) {
  std::error_code none;
  const std::string here = fs::read_symlink("/proc/self/ns/net", none).string();
  if (here == "net:[4026531833]") {  // since Linux 6.18
    EXPECT_TRUE(in_first_namespace());
  }
  const pid_t child = fork();
  if (child == 0) _exit(unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0 ? 77 : in_first_namespace() ? 1 : 0);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
    GTEST_SKIP() << "no network namespace of its own: unshare(2) is not allowed here";
  EXPECT_EQ(status, 0) << "a namespace of our own was taken for the first";
}

TEST(DeviceWays, NamesComeBack) {
  for (DeviceWay way : kDeviceWays) EXPECT_EQ(way_named(way_name(way)), way);
  EXPECT_FALSE(way_named("pci"));
}

}  // namespace
}  // namespace unetmap::wire
