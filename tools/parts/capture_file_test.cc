// SPDX-License-Identifier: BSD-2-Clause
#include "capture_file.hh"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <vector>

namespace unetmap::parts {
namespace {

using Bytes = std::vector<uint8_t>;

template <typename T>
void add(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

Bytes frame(size_t bytes) {
  Bytes out(bytes);
  for (size_t i = 0; i < bytes; i++) out[i] = uint8_t(i * 7);
  return out;
}

class CaptureFile : public testing::Test {
 protected:
  CaptureFile() {
    char name[] = "/tmp/capture-file-test-XXXXXX";
    close(mkstemp(name));
    path_ = name;
  }
  ~CaptureFile() override { unlink(path_.c_str()); }

  void write(const std::string& bytes) const { std::ofstream(path_) << bytes; }
  // Frames of these lengths in a pcap file; of the packet's length where `length` says another.
  static std::string pcap(const std::vector<size_t>& sizes, uint32_t limit, uint32_t link_type = 1,
                          uint32_t length = 0) {
    std::string out;
    add(out, 0xa1b2c3d4);
    add(out, uint16_t(2));
    add(out, uint16_t(4));
    add(out, uint64_t(0));
    add(out, limit);
    add(out, link_type);
    for (size_t size : sizes) {
      add(out, uint64_t(1));
      add(out, uint32_t(size));
      add(out, length ? length : uint32_t(size));
      const Bytes bytes = frame(size);
      out.append(bytes.begin(), bytes.end());
    }
    return out;
  }
  static std::string block(uint32_t type, const std::string& body) {
    std::string out;
    add(out, type);
    add(out, uint32_t(body.size() + 12));
    out += body;
    add(out, uint32_t(body.size() + 12));
    return out;
  }
  // One interface for each number, of check bytes; a frame of 64 bytes from the first one.
  static std::string pcapng(const std::vector<uint8_t>& check_bytes) {
    std::string head, packet;
    add(head, 0x1a2b3c4d);
    add(head, 1);
    add(head, int64_t(-1));
    std::string out = block(0x0a0d0d0a, head);
    for (uint8_t bytes : check_bytes) {
      std::string interface;
      add(interface, 1);
      add(interface, 262144);
      add(interface, uint16_t(13));
      add(interface, uint16_t(1));
      add(interface, uint32_t(bytes));
      add(interface, 0);
      out += block(1, interface);
    }
    for (uint32_t word : {0, 0, 0, 64, 64}) add(packet, word);
    const Bytes bytes = frame(64);
    packet.append(bytes.begin(), bytes.end());
    return out + block(6, packet);
  }

  struct Packet {
    Bytes bytes;
    uint32_t length;
  };
  static std::vector<Packet> read(const std::string& path) {
    std::vector<Packet> out;
    auto capture = Capture::open(path);
    EXPECT_TRUE(capture) << capture.error().text;
    while (capture) {
      auto record = capture->next();
      EXPECT_TRUE(record) << record.error().text;
      if (!record || !*record) break;
      EXPECT_EQ((*record)->header.caplen, (*record)->bytes.size());
      out.push_back({{(*record)->bytes.begin(), (*record)->bytes.end()}, (*record)->header.len});
    }
    return out;
  }
  std::string path_;
};

// As Open vSwitch and Scapy write them.
TEST_F(CaptureFile, RecordsLongerThanTheHeaderSaysAreReadWhole) {
  write(pcap({60, 5014, 1518, 1519, 60}, 1518));
  const auto packets = read(path_);
  ASSERT_EQ(packets.size(), 5u);
  size_t number = 0;
  for (size_t size : {60, 5014, 1518, 1519, 60}) {
    EXPECT_EQ(packets[number].bytes, frame(size));
    EXPECT_EQ(packets[number++].length, size);
  }
}

TEST_F(CaptureFile, PacketsThatWereShortenedStaySo) {
  write(pcap({96, 96}, 96, 1, 1514));
  const auto packets = read(path_);
  ASSERT_EQ(packets.size(), 2u);
  for (const Packet& packet : packets) {
    EXPECT_EQ(packet.bytes, frame(96));
    EXPECT_EQ(packet.length, 1514u);
  }
}

TEST_F(CaptureFile, ACopyHasALimitThatHolds) {
  for (uint32_t limit : {1518u, 65535u}) {
    write(pcap({60, 5014}, limit));
    auto capture = Capture::open(path_);
    ASSERT_TRUE(capture) << capture.error().text;
    auto writer = CaptureWriter::create(path_ + ".copy", *capture);
    ASSERT_TRUE(writer) << writer.error().text;
    for (int i = 0; i < 2; i++) {
      auto record = capture->next();
      ASSERT_TRUE(record && *record);
      EXPECT_TRUE(writer->write((*record)->header, (*record)->bytes));
    }
    ASSERT_TRUE(writer->finish());
    std::ifstream copy(path_ + ".copy");
    const std::string bytes{std::istreambuf_iterator<char>(copy), {}};
    unlink((path_ + ".copy").c_str());
    EXPECT_EQ(bytes, pcap({60, 5014}, limit == 1518 ? 262144 : limit));
  }
}

TEST_F(CaptureFile, ACopyHasNoTimeThatPcapHasNoRoomFor) {
  write(pcap({60}, 65535));
  auto capture = Capture::open(path_);
  ASSERT_TRUE(capture) << capture.error().text;
  for (const int64_t seconds : {int64_t(0), int64_t(UINT32_MAX), int64_t(UINT32_MAX) + 1, int64_t(-1)}) {
    auto writer = CaptureWriter::create(path_ + ".copy", *capture);
    ASSERT_TRUE(writer) << writer.error().text;
    pcap_pkthdr header = {};
    header.ts.tv_sec = seconds;
    header.caplen = header.len = 60;
    const bool has_room = seconds >= 0 && seconds <= UINT32_MAX;
    EXPECT_EQ(writer->write(header, frame(60)), has_room) << seconds;
    auto finished = writer->finish();
    EXPECT_EQ(bool(finished), has_room) << seconds;
    if (!finished) {
      EXPECT_EQ(finished.error().code, ERANGE);
      EXPECT_NE(finished.error().text.find(std::to_string(seconds)), std::string::npos) << finished.error().text;
    }
    unlink((path_ + ".copy").c_str());
  }
}

TEST_F(CaptureFile, CheckSequencesAreLeftOut) {
  const uint32_t four = 1u | 1u << 26 | 2u << 28;
  write(pcap({64, 1518}, 65535, four));
  auto packets = read(path_);
  ASSERT_EQ(packets.size(), 2u);
  Bytes wanted = frame(64);
  wanted.resize(60);
  EXPECT_EQ(packets[0].bytes, wanted);
  EXPECT_EQ(packets[0].length, 60u);
  EXPECT_EQ(packets[1].length, 1514u);
  // Where the packet's end was not stored, neither was that.
  write(pcap({64}, 64, four, 1518));
  packets = read(path_);
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(packets[0].bytes, frame(64));
  EXPECT_EQ(packets[0].length, 1514u);

  write(pcapng({4, 4}));
  packets = read(path_);
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(packets[0].bytes, wanted);
  write(pcapng({4, 0}));
  auto mixed = Capture::open(path_);
  ASSERT_FALSE(mixed);
  EXPECT_NE(mixed.error().text.find("check sequence"), std::string::npos) << mixed.error().text;
}

// As where what a machine sends is captured before its card puts the check sequence behind it.
TEST_F(CaptureFile, PacketsSayByThemselvesWhetherTheyEndWithACheckSequence) {
  const auto said = [](uint32_t number) {
    std::string packet;
    for (uint32_t word : {0, 0, 0, 61, 61}) add(packet, word);
    const Bytes bytes = frame(61);
    packet.append(bytes.begin(), bytes.end());
    packet.append(3, '\0');    // to a whole word
    add(packet, uint16_t(1));  // a comment
    add(packet, uint16_t(5));
    packet += std::string("hello\0\0\0", 8);
    add(packet, uint16_t(2));  // flags
    add(packet, uint16_t(4));
    add(packet, 1 | number << 5);
    add(packet, 0);
    return block(6, packet);
  };
  for (uint8_t usual : {0, 2}) {
    write(pcapng({usual}) + said(4) + said(0) + said(1));
    const auto packets = read(path_);
    ASSERT_EQ(packets.size(), 4u);
    EXPECT_EQ(packets[0].length, 64u - usual);
    EXPECT_EQ(packets[1].length, 57u);
    EXPECT_EQ(packets[2].length, 61u - usual);
    EXPECT_EQ(packets[3].length, 60u);
    for (const Packet& packet : packets) EXPECT_EQ(packet.bytes.size(), packet.length);
  }
}

}  // namespace
}  // namespace unetmap::parts
