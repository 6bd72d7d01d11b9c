// SPDX-License-Identifier: BSD-2-Clause
// Ports of kind "stream", whose peer this test plays.
#include <atomic>
#include <thread>

#include "plugged.hh"

namespace plugged {
namespace {

TEST(PlugStreamTest, StreamCarriesFramesOfAllSizes) {
  std::string path = scratch() + "/stream";
  ASSERT_EQ(run("unetmap plug valep1:s --stream " + path), 0) << said;
  Port port("valep1:x");
  int peer = unix_socket(SOCK_STREAM, "", path);
  cross_both_ways(peer, port, send_framed, receive_framed, 65557);
  // A peer may write as it likes: bytes one by one, and many frames at once.
  Bytes frame = frame_of(7, 100), many;
  for (int i = 0; i < 50; i++) {
    uint32_t length = htonl(100);
    many.insert(many.end(), reinterpret_cast<uint8_t*>(&length), reinterpret_cast<uint8_t*>(&length) + 4);
    many.insert(many.end(), frame.begin(), frame.end());
  }
  for (size_t i = 0; i < 208; i++) ASSERT_EQ(send(peer, &many[i], 1, 0), 1);
  ASSERT_EQ(send(peer, many.data() + 208, many.size() - 208, 0), ssize_t(many.size() - 208));
  for (int i = 0; i < 50; i++) ASSERT_EQ(port.receive(), frame) << i;
  close(peer);
  ASSERT_EQ(run("unetmap unplug valep1:s"), 0) << said;
  struct stat info;
  EXPECT_LT(stat(path.c_str(), &info), 0) << "the socket is left behind";
  EXPECT_LT(worker_of("valep1:s"), 1);
}

TEST(PlugStreamTest, ImpossibleLengthEndsTheConnectionOnly) {
  std::string path = scratch() + "/badlength";
  ASSERT_EQ(run("unetmap plug valep2:s --stream " + path), 0) << said;
  pid_t worker = worker_of("valep2:s");
  Port port("valep2:x");
  for (uint32_t length : {65558u, 0x7fffffffu, 0xffffffffu}) {
    int peer = unix_socket(SOCK_STREAM, "", path);
    uint32_t word = htonl(length);
    ASSERT_EQ(send(peer, &word, 4, 0), 4);
    char byte;
    EXPECT_LE(recv(peer, &byte, 1, 0), 0);
    close(peer);
  }
  int peer = unix_socket(SOCK_STREAM, "", path);
  uint32_t empty = 0;
  ASSERT_EQ(send(peer, &empty, 4, 0), 4);  // no frame, but no harm either
  send_framed(peer, frame_of(1, 60));
  EXPECT_EQ(port.receive(), frame_of(1, 60));
  EXPECT_EQ(worker_of("valep2:s"), worker);
  close(peer);
  EXPECT_EQ(run("unetmap unplug valep2:s"), 0) << said;
}

TEST(PlugStreamTest, ClientTriesUntilThereIsAServerAndAgainAfterIt) {
  std::string path = scratch() + "/client";
  ASSERT_EQ(run("unetmap plug valep3:s --client --stream " + path), 0) << said;
  Port port("valep3:x");
  for (int round = 0; round < 3; round++) {
    int listener = unix_socket(SOCK_STREAM, path, "");
    ASSERT_EQ(listen(listener, 1), 0);
    int peer = accept(listener, nullptr, nullptr);
    ASSERT_GE(peer, 0) << strerror(errno);
    timeval patience{20, 0};
    setsockopt(peer, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    cross_both_ways(peer, port, send_framed, receive_framed, 9018);
    close(peer);
    close(listener);
  }
  EXPECT_EQ(run("unetmap unplug valep3:s"), 0) << said;
}

// A peer that accepts and closes at once is not asked again and again, and is not called connected each time.
TEST(PlugStreamTest, ClientBacksOffFromAPeerThatClosesAtOnce) {
  std::string path = scratch() + "/closes";
  int listener = unix_socket(SOCK_STREAM, path, "");
  ASSERT_EQ(listen(listener, 1), 0);
  ASSERT_EQ(run("unetmap plug valep9:s --client --stream " + path), 0) << said;
  const uint64_t begin = flows::now_ms();
  std::atomic<int> accepted{0};
  std::atomic<bool> stop{false};
  std::thread closer([&] {
    while (!stop) {
      int peer = accept(listener, nullptr, nullptr);
      if (peer < 0) return;
      accepted++;
      close(peer);
    }
  });
  // Without pauses these would take milliseconds; with them 20 + 40 + 80 + 160 + 320 + 640.
  EXPECT_TRUE(flows::eventually([&] { return accepted >= 7; }));
  EXPECT_GE(flows::now_ms() - begin, 1260u - 7);
  for (int i = 0; i < 10; i++) {
    EXPECT_EQ(run("unetmap ports --json"), 0);
    EXPECT_EQ(said.find("\"connected\":true"), std::string::npos) << said;
    EXPECT_NE(said.find("accepted and closed at once"), std::string::npos) << said;
  }
  stop = true;
  closer.join();  // after the next one
  // One that carries something is one.
  int peer = accept(listener, nullptr, nullptr);
  ASSERT_GE(peer, 0);
  Port port("valep9:x");
  send_framed(peer, frame_of(1, 60));
  EXPECT_EQ(port.receive(), frame_of(1, 60));
  EXPECT_TRUE(flows::eventually([] {
    return run("unetmap ports --json") == 0 && said.find("\"connected\":true") != std::string::npos;
  })) << said;
  close(peer);
  close(listener);
  EXPECT_EQ(run("unetmap unplug valep9:s"), 0) << said;
}

TEST(PlugStreamTest, StoppedPeerLosesItsOwnPacketsOnly) {
  std::string slow_path = scratch() + "/slow", good_path = scratch() + "/good";
  ASSERT_EQ(run("unetmap plug valep4:slow --stream " + slow_path), 0) << said;
  ASSERT_EQ(run("unetmap plug valep4:good --stream " + good_path), 0) << said;
  Port port("valep4:x");
  int slow = unix_socket(SOCK_STREAM, "", slow_path), good = unix_socket(SOCK_STREAM, "", good_path);
  // Broadcasts: both get each. The slow one reads nothing; more than its socket and its ring can hold.
  constexpr uint32_t kFrames = 6000;
  for (uint32_t i = 0; i < kFrames; i++) {
    ASSERT_TRUE(port.send(frame_of(i, 1514)));
    ASSERT_EQ(receive_framed(good), frame_of(i, 1514)) << i;
  }
  uint64_t lost = counter_of("valep4:slow", "rx", "lost_full");
  EXPECT_GT(lost, 0u);
  EXPECT_EQ(counter_of("valep4:good", "rx", "lost_full"), 0u);
  // What it did get is whole and in order, and what comes later arrives.
  uint32_t next = 0;
  for (uint64_t i = 0; i < kFrames - lost; i++) {
    Bytes got = receive_framed(slow);
    ASSERT_EQ(got.size(), 1514u) << i;
    while (next < kFrames && frame_of(next, 1514) != got) next++;
    ASSERT_LT(next++, kFrames) << i;
  }
  ASSERT_TRUE(port.send(frame_of(9999, 300)));
  EXPECT_EQ(receive_framed(slow), frame_of(9999, 300));
  close(slow);
  close(good);
  EXPECT_EQ(run("unetmap unplug valep4:slow && unetmap unplug valep4:good"), 0) << said;
}

}  // namespace
}  // namespace plugged
