// SPDX-License-Identifier: BSD-2-Clause
#include "vale/checksum.hh"

#include <gtest/gtest.h>

#include <random>

#include "vale/offload_test_frames.hh"

namespace unetmap::vale {
namespace {

using testing::Bytes;
using testing::plain_sum;

unsigned in_memory_order(uint16_t value) {
  uint8_t bytes[2];
  store_checksum(bytes, value);
  return bytes[0] * 256u + bytes[1];
}

TEST(Checksum, agrees_with_the_plain_sum_at_every_length_and_alignment) {
  std::minstd_rand random(7);
  Bytes bytes(400);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random() >> 8);
  for (size_t from = 0; from < 9; ++from) {
    for (size_t length = 0; from + length <= bytes.size(); ++length) {
      const std::span<const uint8_t> range(bytes.data() + from, length);
      ASSERT_EQ(in_memory_order(checksum_finish(checksum_add(range))), 0xffff - plain_sum(range))
          << "from " << from << " length " << length;
    }
  }
}

TEST(Checksum, chained_ranges_equal_one_range) {
  Bytes bytes(1000);
  std::minstd_rand random(8);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random() >> 8);
  const uint16_t whole = checksum_finish(checksum_add(bytes));
  for (size_t cut = 0; cut <= bytes.size(); cut += 2) {
    const uint64_t first = checksum_add(std::span(bytes).first(cut));
    ASSERT_EQ(checksum_finish(checksum_add(std::span(bytes).subspan(cut), first)), whole) << cut;
  }
}

TEST(Checksum, carries_are_not_lost_with_all_ones) {
  const Bytes ones(131072, 0xff);
  EXPECT_EQ(in_memory_order(checksum_finish(checksum_add(ones))), 0u);
  EXPECT_EQ(in_memory_order(checksum_finish_nonzero(checksum_add(ones))), 0xffffu);
  // A running sum that is already at the top wraps around rather than starting again at 0.
  EXPECT_EQ(in_memory_order(checksum_finish(checksum_add(Bytes{0, 1}, UINT64_MAX))), 0xfffeu);
}

TEST(Checksum, numbers_count_as_big_endian_words) {
  const uint64_t sum = checksum_add_number(0x1234, checksum_add_number(0xf000, 0));
  EXPECT_EQ(in_memory_order(checksum_finish(sum)), 0xffff - plain_sum(Bytes{0x12, 0x34, 0xf0, 0x00}));
}

}  // namespace
}  // namespace unetmap::vale
