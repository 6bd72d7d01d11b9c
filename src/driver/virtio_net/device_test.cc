// SPDX-License-Identifier: BSD-2-Clause
// Where a device says that its structures are.
#include <gtest/gtest.h>

#include "driver/test_machine.hh"
#include "driver/virtio_net/device.hh"

namespace unetmap::driver {
namespace {

Bytes config_with(std::initializer_list<Bytes> capabilities) {
  Bytes out(256);
  out[6] = 0x10;
  size_t at = 0x40;
  out[0x34] = uint8_t(at);
  for (const Bytes& each : capabilities) {
    std::copy(each.begin(), each.end(), out.begin() + long(at));
    out[at + 1] = uint8_t(at + 20);
    at += 20;
  }
  return out;
}
Bytes capability(uint8_t type, uint8_t bar, uint32_t offset, uint32_t length) {
  Bytes out(20);
  out[0] = 9;
  out[2] = 20;
  out[3] = type;
  out[4] = bar;
  memcpy(&out[8], &offset, 4);
  memcpy(&out[12], &length, 4);
  out[16] = 4;
  return out;
}

TEST(VirtioPlaces, AsQemuHasThemAndNoOthers) {
  auto found = virtio_places(
      config_with({capability(1, 4, 0, 56), capability(2, 4, 0x3000, 0x1000), capability(4, 4, 0x2000, 0x1000)}));
  ASSERT_TRUE(found) << found.error().text;
  EXPECT_EQ(found->bar, 4u);
  EXPECT_EQ(found->notify, 0x3000u);
  EXPECT_EQ(found->device, 0x2000u);
  EXPECT_EQ(found->bar_bytes, 0x4000u);
  EXPECT_FALSE(virtio_places(config_with({})));
  EXPECT_FALSE(virtio_places(config_with({capability(1, 4, 0, 56)})));
  EXPECT_FALSE(
      virtio_places(config_with({capability(1, 4, 0, 56), capability(2, 1, 0, 4096), capability(4, 4, 0, 4096)})));
  EXPECT_FALSE(virtio_places(
      config_with({capability(1, 4, 0, 56), capability(2, 4, 0xfffff000, 0x2000), capability(4, 4, 0, 4096)})));
  EXPECT_FALSE(virtio_places(Bytes(16)));
  Bytes circle = config_with({capability(7, 4, 0, 56)});
  circle[0x41] = 0x40;
  EXPECT_FALSE(virtio_places(circle));
  std::minstd_rand random(5);
  for (int i = 0; i < 20000; i++) {
    Bytes noise(random() % 300);
    for (uint8_t& byte : noise) byte = uint8_t(random() % 5 ? random() % 16 * 16 : 9);
    auto places = virtio_places(noise);
    if (places) {
      ASSERT_LE(places->common + 56, places->bar_bytes);
    }
  }
}

}  // namespace
}  // namespace unetmap::driver
