// SPDX-License-Identifier: BSD-2-Clause
#include "parts/pcapng_writer.hh"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "parts/capture_file.hh"
#include "parts/packet_filter.hh"

namespace unetmap::parts {
namespace {

struct Block {
  uint32_t type;
  std::string body;  // without type and lengths
};

uint32_t number(const std::string& bytes, size_t at) {
  uint32_t value = 0;
  memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

// Blocks of a file; checks that they follow each other and that both lengths agree.
std::vector<Block> blocks(const std::string& file) {
  std::vector<Block> out;
  for (size_t at = 0; at < file.size();) {
    const uint32_t bytes = number(file, at + 4);
    EXPECT_EQ(bytes % 4, 0u);
    EXPECT_GE(bytes, 12u);
    if (bytes < 12 || at + bytes > file.size()) {
      ADD_FAILURE() << "a block of " << bytes << " bytes at " << at;
      return out;
    }
    EXPECT_EQ(number(file, at + bytes - 4), bytes);
    out.push_back({number(file, at), file.substr(at + 8, bytes - 12)});
    at += bytes;
  }
  return out;
}

// The value of an option among those that start at `at`; empty when it is not there.
std::string option(const std::string& body, size_t at, uint16_t code) {
  while (at + 4 <= body.size()) {
    const uint32_t head = number(body, at), bytes = head >> 16;
    if ((head & 0xffff) == 0) return "";
    if ((head & 0xffff) == code) return body.substr(at + 4, bytes);
    at += 4 + (bytes + 3) / 4 * 4;
  }
  ADD_FAILURE() << "options without an end";
  return "";
}

class PcapngWriterTest : public testing::Test {
 protected:
  PcapngWriterTest() : memory_(memfd_create("pcapng", MFD_CLOEXEC)) {}
  PcapngWriter writer(uint32_t snapshot = 0) {
    return PcapngWriter(UniqueFd(dup(memory_.get())), {"vale0:1", "a port", "udp", "test", snapshot});
  }
  std::string file() {
    std::string out(size_t(lseek(memory_.get(), 0, SEEK_END)), '\0');
    EXPECT_EQ(pread(memory_.get(), out.data(), out.size(), 0), ssize_t(out.size()));
    return out;
  }
  std::string path() { return "/proc/self/fd/" + std::to_string(memory_.get()); }
  UniqueFd memory_;
  const uint8_t bytes_[61] = {1, 2, 3};
};

TEST_F(PcapngWriterTest, HasTheBlocksAndOptions) {
  PcapngWriter out = writer();
  ASSERT_TRUE(out.write({5'000'000'001, bytes_, 100, Direction::kOut, 7}));
  ASSERT_TRUE(out.write({5'000'000'002, bytes_, 61, Direction::kIn, 0}));
  ASSERT_TRUE(out.finish({1, 2, 30, 20, 7}));
  const std::vector<Block> all = blocks(file());
  ASSERT_EQ(all.size(), 5u);
  EXPECT_EQ(all[0].type, 0x0a0d0d0au);
  EXPECT_EQ(number(all[0].body, 0), 0x1a2b3c4du);
  EXPECT_EQ(option(all[0].body, 16, 4), "test");
  EXPECT_EQ(all[1].type, 1u);
  EXPECT_EQ(option(all[1].body, 8, 2), "vale0:1");
  EXPECT_EQ(option(all[1].body, 8, 9), "\x09");
  EXPECT_EQ(option(all[1].body, 8, 11), std::string("\0udp", 4));
  EXPECT_EQ(all[2].type, 6u);
  EXPECT_EQ(number(all[2].body, 4), 1u) << "the high half of the time";
  EXPECT_EQ(number(all[2].body, 12), 61u);
  EXPECT_EQ(number(all[2].body, 16), 100u);
  EXPECT_EQ(option(all[2].body, 20 + 64, 2), std::string("\2\0\0\0", 4));
  EXPECT_EQ(option(all[2].body, 20 + 64, 4), std::string("\7\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(option(all[3].body, 20 + 64, 2), std::string("\1\0\0\0", 4));
  EXPECT_EQ(option(all[3].body, 20 + 64, 4), "");
  EXPECT_EQ(all[4].type, 5u);
  EXPECT_EQ(option(all[4].body, 12, 5), std::string("\7\0\0\0\0\0\0\0", 8));
}

TEST_F(PcapngWriterTest, LibpcapReadsIt) {
  PcapngWriter out = writer(1000);
  for (size_t size = 14; size <= 61; size++) {
    ASSERT_TRUE(out.write({size * 1'000'000'000 + 5000, {bytes_, size}, size, Direction::kIn, 0}));
  }
  ASSERT_TRUE(out.flush());
  auto capture = Capture::open(path());
  ASSERT_TRUE(capture) << capture.error().text;
  EXPECT_EQ(capture->link_type_name(), "EN10MB");
  for (size_t size = 14; size <= 61; size++) {
    auto record = capture->next();
    ASSERT_TRUE(record) << record.error().text;
    ASSERT_TRUE(*record);
    EXPECT_EQ((*record)->bytes.size(), size);
    EXPECT_EQ(memcmp((*record)->bytes.data(), bytes_, size), 0);
    EXPECT_EQ((*record)->header.ts.tv_sec, time_t(size));
    EXPECT_EQ((*record)->header.ts.tv_usec, 5000);  // nanoseconds
  }
  auto end = capture->next();
  ASSERT_TRUE(end);
  EXPECT_FALSE(*end);
}

TEST_F(PcapngWriterTest, AFullDiskIsAnError) {
  PcapngWriter out(UniqueFd(open("/dev/full", O_WRONLY)), {"x", "", "", "test", 0});
  auto flushed = out.flush();
  ASSERT_FALSE(flushed);
  EXPECT_EQ(flushed.error().code, ENOSPC);
}

TEST(PacketFilter, PassesWhatMatches) {
  uint8_t arp[60] = {};
  arp[12] = 8;
  arp[13] = 6;
  EXPECT_TRUE(PacketFilter().passes(arp, sizeof arp));
  EXPECT_TRUE(PacketFilter::compile("arp")->passes(arp, sizeof arp));
  EXPECT_FALSE(PacketFilter::compile("ip")->passes(arp, sizeof arp));
  EXPECT_TRUE(PacketFilter::compile("greater 100")->passes(arp, 100)) << "the length before it was cut";
  EXPECT_FALSE(PacketFilter::compile("no such thing"));
}

}  // namespace
}  // namespace unetmap::parts
