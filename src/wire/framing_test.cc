// SPDX-License-Identifier: BSD-2-Clause
#include "wire/framing.hh"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>

namespace unetmap::wire {
namespace {

std::vector<uint8_t> reply(ReplyHead head, const std::string& rest) {
  std::vector<uint8_t> bytes(sizeof head + rest.size());
  memcpy(bytes.data(), &head, sizeof head);
  memcpy(bytes.data() + sizeof head, rest.data(), rest.size());
  return bytes;
}

TEST(Framing, ARequestIsAHeadAndItsBody) {
  const uint8_t body[] = {1, 2, 3};
  std::vector<uint8_t> bytes = request_bytes(Op::kQuery, body);
  RequestHead head;
  ASSERT_EQ(bytes.size(), sizeof head + 3);
  memcpy(&head, bytes.data(), sizeof head);
  EXPECT_EQ(head.magic, kMagic);
  EXPECT_EQ(head.version, kVersion);
  EXPECT_EQ(head.op, uint16_t(Op::kQuery));
  EXPECT_EQ(head.body_bytes, 3u);
  EXPECT_EQ(bytes.back(), 3);
}

TEST(Framing, AReplyIsTakenApart) {
  const std::vector<uint8_t> bytes = reply({kMagic, kVersion, 8, EBUSY, 4, 6, 1}, "bodyreason");
  auto parts = take_apart(bytes);
  ASSERT_TRUE(parts);
  EXPECT_EQ(parts->error, EBUSY);
  EXPECT_TRUE(parts->has_bind);
  EXPECT_EQ(std::string(parts->body.begin(), parts->body.end()), "body");
  EXPECT_EQ(parts->text, "reason");
}

TEST(Framing, WhatIsNoReplyIsRefused) {
  EXPECT_EQ(take_apart({}).error().code, EPROTO);
  const ReplyHead good{kMagic, kVersion, 8, 0, 4, 0, 0};
  EXPECT_TRUE(take_apart(reply(good, "body")));
  EXPECT_EQ(take_apart(reply(good, "bod")).error().code, EPROTO);
  EXPECT_EQ(take_apart(reply(good, "bodyx")).error().code, EPROTO);
  EXPECT_EQ(take_apart(reply({kMagic + 1, kVersion, 8, 0, 4, 0, 0}, "body")).error().code, EPROTO);
  const auto other = take_apart(reply({kMagic, kVersion + 1, 8, 0, 4, 0, 0}, "body"));
  EXPECT_EQ(other.error().code, EPROTO);
  EXPECT_NE(other.error().text.find("another version"), std::string::npos) << other.error().text;
  EXPECT_EQ(take_apart(reply({kMagic, kVersion, 8, 0, 0xffffffff, 5, 0}, "body")).error().code, EPROTO);
}

}  // namespace
}  // namespace unetmap::wire
