// SPDX-License-Identifier: BSD-2-Clause
#include "shim/device_path.hh"

#include <gtest/gtest.h>

#include "shim/interface_name.hh"
#include "shim/parameters.hh"

namespace unetmap::shim {
namespace {

PathKind kind(const char* path) { return classify_path(path).kind; }

TEST(DevicePath, Device) {
  EXPECT_EQ(kind("/dev/netmap"), PathKind::kDevice);
  EXPECT_EQ(kind("//dev///netmap"), PathKind::kDevice);
  for (const char* other : {"/dev/netmap/", "/dev/netmap0", "/dev/netma", "/dev", "/dev/", "dev/netmap",
                            "/dev/x/netmap", "/device/netmap", "", "/", "//"})
    EXPECT_EQ(kind(other), PathKind::kOther) << other;
  EXPECT_EQ(kind(nullptr), PathKind::kOther);
}

TEST(DevicePath, Parameters) {
  DevicePath path = classify_path("/sys/module/netmap/parameters/buf_size");
  EXPECT_EQ(path.kind, PathKind::kParameter);
  EXPECT_EQ(path.parameter, "buf_size");
  EXPECT_EQ(kind("/sys/module/netmap"), PathKind::kParameterDirectory);
  EXPECT_EQ(kind("/sys/module/netmap/"), PathKind::kParameterDirectory);
  EXPECT_EQ(kind("/sys/module/netmap/parameters"), PathKind::kParameterDirectory);
  EXPECT_EQ(kind("/sys/module/netmap/parameters/"), PathKind::kParameterDirectory);
  for (const char* other : {"/sys/module", "/sys/module/netmap2/parameters/buf_size", "/sys/module/netmap/holders",
                            "/sys/module/netmap/parameters/a/b", "/sys/module/netmap/parametersx"})
    EXPECT_EQ(kind(other), PathKind::kOther) << other;
}

TEST(DevicePath, ParameterValues) {
  ASSERT_NE(find_parameter("buf_size"), nullptr);
  EXPECT_EQ(find_parameter("buf_size")->value, int64_t{kDefaultBufSize});
  EXPECT_EQ(find_parameter("buf_siz"), nullptr);
  EXPECT_EQ(find_parameter(""), nullptr);
}

TEST(InterfaceName, ValePorts) {
  char full[16];
  memcpy(full, "vale0:0123456789", sizeof full);  // as long as an ifreq's name, without an end
  EXPECT_TRUE(names_vale_port(full, sizeof full));
  EXPECT_TRUE(names_vale_port("vale0:1", 16));
  EXPECT_TRUE(names_vale_port("valeX:p{3", 16));
  for (const char* other : {"vale0", "vale0:", "eth0", "eth0:1", "xvale0:1", "val", ""})
    EXPECT_FALSE(names_vale_port(other, 16)) << other;
}

}  // namespace
}  // namespace unetmap::shim
