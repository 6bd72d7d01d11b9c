// SPDX-License-Identifier: BSD-2-Clause
#include "capture_file.hh"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

namespace unetmap::pktgen {
namespace {

class PktGenCapture : public testing::Test {
 protected:
  PktGenCapture() {
    char name[] = "/tmp/pkt-gen-test-XXXXXX";
    close(mkstemp(name));
    path_ = name;
  }
  ~PktGenCapture() override { unlink(path_.c_str()); }
  std::string path_;
};

TEST_F(PktGenCapture, WhatIsWrittenIsReadBackWithRoomInFront) {
  auto writer = CaptureWriter::create(path_);
  ASSERT_TRUE(writer) << writer.error().text;
  std::vector<std::vector<uint8_t>> packets = {std::vector<uint8_t>(60, 1), std::vector<uint8_t>(1514, 2),
                                               std::vector<uint8_t>(14, 3)};
  for (const auto& p : packets) writer->write({1, 2}, p.data(), uint32_t(p.size()));
  ASSERT_TRUE(writer->finish());
  auto capture = Capture::read(path_, 10);
  ASSERT_TRUE(capture) << capture.error().text;
  ASSERT_EQ(capture->count(), 3u);
  EXPECT_EQ(capture->largest(), 1524u);
  for (size_t i = 0; i < packets.size(); i++) {
    Capture::Packet p = capture->packet(i);
    ASSERT_EQ(p.bytes, packets[i].size() + 10);
    for (int k = 0; k < 10; k++) EXPECT_EQ(p.data[k], 0);
    EXPECT_EQ(memcmp(p.data + 10, packets[i].data(), packets[i].size()), 0);
  }
}

TEST_F(PktGenCapture, RefusesWhatIsNoCapture) {
  EXPECT_FALSE(Capture::read(path_ + ".missing", 0));
  std::ofstream(path_) << "this is not a capture file, however long it may be";
  auto text = Capture::read(path_, 0);
  ASSERT_FALSE(text);
  EXPECT_NE(text.error().text.find(path_), std::string::npos);
}

TEST_F(PktGenCapture, RefusesAnEmptyOneAndATruncatedOne) {
  auto writer = CaptureWriter::create(path_);
  ASSERT_TRUE(writer);
  ASSERT_TRUE(writer->finish());
  EXPECT_FALSE(Capture::read(path_, 0));
  writer = CaptureWriter::create(path_);
  ASSERT_TRUE(writer);
  uint8_t data[100] = {};
  writer->write({}, data, sizeof data);
  ASSERT_TRUE(writer->finish());
  ASSERT_EQ(truncate(path_.c_str(), 80), 0);
  EXPECT_FALSE(Capture::read(path_, 0));
}

TEST_F(PktGenCapture, CannotWriteWhereThereIsNoFolder) {
  auto writer = CaptureWriter::create(path_ + ".missing/x");
  ASSERT_FALSE(writer);
  EXPECT_NE(writer.error().text.find(".missing"), std::string::npos);
}

}  // namespace
}  // namespace unetmap::pktgen
