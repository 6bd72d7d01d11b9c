// SPDX-License-Identifier: BSD-2-Clause
// Ports of kind "dgram", whose peer this test plays.
#include <filesystem>

#include "plugged.hh"

namespace plugged {
namespace {

TEST(PlugDgramTest, DatagramsBothWays) {
  std::string ours = scratch() + "/dgram-peer", theirs = scratch() + "/dgram";
  ASSERT_EQ(run("unetmap plug valep5:d --dgram " + theirs + " --remote " + ours), 0) << said;
  Port port("valep5:x");
  auto put = [](int fd, const Bytes& frame) {
    ASSERT_EQ(send(fd, frame.data(), frame.size(), 0), ssize_t(frame.size()));
  };
  auto get = [](int fd) {
    Bytes frame(100000);
    ssize_t n = recv(fd, frame.data(), frame.size(), 0);
    frame.resize(n > 0 ? size_t(n) : 0);
    return frame;
  };
  for (int round = 0; round < 2; round++) {  // a peer that comes back is found again
    int peer = unix_socket(SOCK_DGRAM, ours, theirs);
    EXPECT_TRUE(flows::eventually([&] {
      return run("unetmap ports --json") == 0 && said.find("\"connected\":true") != std::string::npos;
    })) << said;
    cross_both_ways(peer, port, put, get, 65535);
    close(peer);
    unlink(ours.c_str());
    EXPECT_TRUE(flows::eventually([&] {
      return port.send(frame_of(1, 60)) && run("unetmap ports --json") == 0 &&
             said.find("\"connected\":true") == std::string::npos;
    })) << said;
  }
  EXPECT_EQ(run("unetmap unplug valep5:d"), 0) << said;
}

// The switch sends nothing meanwhile: the port finds out by itself that its peer is another socket, or none.
TEST(PlugDgramTest, APeerThatComesBackIsHeardBeforeItIsSpokenTo) {
  const std::string ours = scratch() + "/back-peer";
  for (bool learned : {false, true}) {
    SCOPED_TRACE(learned ? "learned" : "by --remote");
    const std::string theirs = scratch() + (learned ? "/back-learned" : "/back");
    ASSERT_EQ(run("unetmap plug valep11:d --dgram " + theirs + (learned ? "" : " --remote " + ours)), 0) << said;
    Port port("valep11:x");
    for (uint32_t life = 1; life <= 2; life++) {
      int peer = unix_socket(SOCK_DGRAM, ours, theirs);
      const Bytes frame = frame_of(life, 80);
      // Refused (EPERM) for as long as the port is connected to the one before.
      EXPECT_TRUE(flows::eventually([&] { return send(peer, frame.data(), frame.size(), 0) == 80; }))
          << strerror(errno);
      EXPECT_EQ(port.receive(), frame);
      EXPECT_TRUE(flows::eventually([&] {
        return run("unetmap ports --json") == 0 && said.find("\"connected\":true") != std::string::npos;
      })) << said;
      close(peer);
    }
    unlink(ours.c_str());
    EXPECT_TRUE(flows::eventually([&] {
      return run("unetmap ports --json") == 0 && said.find("\"connected\":true") == std::string::npos;
    })) << said;
    EXPECT_EQ(run("unetmap unplug valep11:d"), 0) << said;
  }
}

TEST(PlugDgramTest, DatagramPeerIsLearned) {
  std::string theirs = scratch() + "/learn";
  ASSERT_EQ(run("unetmap plug valep6:d --dgram " + theirs), 0) << said;
  Port port("valep6:x");
  int peer = unix_socket(SOCK_DGRAM, scratch() + "/learn-peer", theirs);
  Bytes frame = frame_of(1, 80), back = frame_of(2, 90, 2), got(1000);
  ASSERT_EQ(send(peer, frame.data(), frame.size(), 0), 80);
  ASSERT_EQ(port.receive(), frame);
  ASSERT_TRUE(port.send(back));
  ASSERT_EQ(recv(peer, got.data(), got.size(), 0), 90);
  got.resize(90);
  EXPECT_EQ(got, back);
  close(peer);
  EXPECT_EQ(run("unetmap unplug valep6:d"), 0) << said;
}

// Names that lead back to the peer from anywhere are answered, abstract ones too; of others it is said once.
TEST(PlugDgramTest, DatagramPeersOfAllKindsOfNames) {
  struct Case {
    const char* name;
    sa_family_t family = AF_UNIX;
    std::string own;
    const char* refused;
  };
  const Case cases[] = {
      {"abstract", AF_UNIX, std::string("\0unetmap-plug-peer", 18) + std::to_string(getpid()), nullptr},
      {"relative", AF_UNIX, "relative-peer.sock", "the peer relative-peer.sock cannot be answered"},
      {"nameless", AF_UNIX, "", "the peer without a name cannot be answered"},
  };
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(scratch());
  for (const Case& each : cases) {
    SCOPED_TRACE(each.name);
    std::string theirs = scratch() + "/" + each.name;
    ASSERT_EQ(run("unetmap plug valep7:d --dgram " + theirs), 0) << said;
    Port port("valep7:x");
    int peer = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    timeval patience{20, 0};
    setsockopt(peer, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    sockaddr_un own{};
    own.sun_family = each.family;
    memcpy(own.sun_path, each.own.data(), each.own.size());
    const auto bytes = socklen_t(offsetof(sockaddr_un, sun_path) + each.own.size());
    if (!each.own.empty()) {
      ASSERT_EQ(bind(peer, reinterpret_cast<sockaddr*>(&own), bytes), 0) << strerror(errno);
    }
    auto to = address_of(theirs);
    const Bytes frame = frame_of(1, 80), back = frame_of(2, 90, 2);
    for (int i = 0; i < 2; i++) {
      ASSERT_EQ(sendto(peer, frame.data(), frame.size(), 0, reinterpret_cast<sockaddr*>(&to), sizeof to), 80);
      ASSERT_EQ(port.receive(), frame) << "its frames are taken in any case";
    }
    if (each.refused) {
      EXPECT_TRUE(flows::eventually([&] {
        return run("unetmap ports --json") == 0 && said.find(each.refused) != std::string::npos;
      })) << said;
    } else {
      Bytes got(1000);
      ASSERT_TRUE(port.send(back));
      ASSERT_EQ(recv(peer, got.data(), got.size(), 0), 90) << strerror(errno);
      got.resize(90);
      EXPECT_EQ(got, back);
    }
    close(peer);
    EXPECT_EQ(run("unetmap unplug valep7:d"), 0) << said;
  }
  std::filesystem::current_path(before);
}

}  // namespace
}  // namespace plugged
