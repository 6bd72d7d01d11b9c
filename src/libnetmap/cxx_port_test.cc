// SPDX-License-Identifier: BSD-2-Clause
#include <gtest/gtest.h>

#include <string>
#include <type_traits>
#include <unetmap/port.hh>

#include "libnetmap/fake_port.hh"

namespace {

std::string text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(CxxRing, NumbersOurSlotsFromZero) {
  FakePort fake;
  fake.rx()->head = fake.rx()->cur = 6;
  fake.receive(6, "six");
  fake.receive(7, "seven");
  fake.receive(0, "zero");
  unetmap::Ring ring(fake.rx());
  ASSERT_EQ(ring.size(), 3U);
  EXPECT_EQ(ring.capacity(), FakePort::kSlots);
  EXPECT_EQ(text(ring.data(0)), "six");
  EXPECT_EQ(text(ring.data(2)), "zero");
  ring.advance(2);
  EXPECT_EQ(fake.rx()->head, 0U);
  EXPECT_EQ(fake.rx()->cur, 0U);
  ASSERT_EQ(ring.size(), 1U);
  ring.advance(1);
  EXPECT_TRUE(ring.empty());
}

TEST(CxxRing, BuffersEndWhereTheyEnd) {
  FakePort fake(0xffff);
  fake.tx()->tail = 4;
  unetmap::Ring ring(fake.tx());
  EXPECT_EQ(ring.buffer(0).size(), FakePort::kBufSize);
  NETMAP_WOFFSET(fake.tx(), &ring[1], 60);
  EXPECT_EQ(ring.buffer(1).size(), 4U);
  ring[1].len = 9;  // a lie
  EXPECT_EQ(ring.data(1).size(), 4U);
  NETMAP_WOFFSET(fake.tx(), &ring[2], 1000);
  EXPECT_EQ(ring.buffer(2).size(), 0U);
}

TEST(CxxPacket, GathersItsFragments) {
  FakePort fake;
  fake.receive(0, "abc", NS_MOREFRAG);
  fake.receive(1, "de", NS_MOREFRAG);
  fake.receive(2, "f");
  const unetmap::Packet packet(unetmap::Ring(fake.rx()), 3, 6);
  EXPECT_EQ(packet.size(), 6U);
  EXPECT_EQ(text(packet.data()), "abc");
  EXPECT_EQ(text(packet.fragment(2)), "f");
  std::array<std::byte, 8> out{};
  EXPECT_EQ(packet.copy_to(out), 6U);
  EXPECT_EQ(text({out.data(), 6}), "abcdef");
  EXPECT_EQ(packet.copy_to(std::span(out).first(4)), 4U);
}

TEST(CxxPort, ThrowsASentence) {
  try {
    unetmap::Port::open("vale0:a/q");
    FAIL() << "opened";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), std::error_code(EINVAL, std::generic_category()));
    EXPECT_NE(std::string(error.what()).find("'q'"), std::string::npos) << error.what();
  }
}

TEST(CxxPort, OrSaysItWithoutThrowing) {
  unetmap::PortError error;
  EXPECT_FALSE(unetmap::Port::try_open("eth0", &error).has_value());
  EXPECT_EQ(error.code, EINVAL);
  EXPECT_NE(error.text.find("netmap:eth0"), std::string::npos) << error.text;
  EXPECT_FALSE(unetmap::Port::try_open("eth0").has_value());
}

static_assert(std::is_nothrow_move_constructible_v<unetmap::Port>);
static_assert(std::is_nothrow_move_assignable_v<unetmap::Port>);
static_assert(!std::is_copy_constructible_v<unetmap::Port>);

}  // namespace
