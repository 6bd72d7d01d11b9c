// SPDX-License-Identifier: BSD-2-Clause
// What is plugged in survives kills of its worker and of the daemon; what cannot be, is refused with its reason.
#include <fstream>

#include "plugged.hh"

namespace plugged {
namespace {

TEST(PlugTest, RefusalsNameTheReason) {
  std::string path = scratch() + "/refused";
  std::ofstream(path) << "no socket\n";
  EXPECT_EQ(run("unetmap plug valep7:s --stream " + path), 1);
  EXPECT_NE(said.find("is no socket"), std::string::npos) << said;
  {
    Port port("valep7:used");
    EXPECT_EQ(run("unetmap plug valep7:used --stream " + path + "2"), 1);
    EXPECT_NE(said.find("is open already"), std::string::npos) << said;
  }
  ASSERT_EQ(run("unetmap plug valep7:s --stream " + path + "2"), 0) << said;
  EXPECT_EQ(run("unetmap plug valep7:s --stream " + path + "3"), 1);
  EXPECT_NE(said.find("plugged in there already"), std::string::npos) << said;
  EXPECT_EQ(run("unetmap plug valep7:t --stream " + path + "2"), 1);
  EXPECT_NE(said.find("another process serves it"), std::string::npos) << said;
  EXPECT_EQ(run("unetmap plug valep7:u --stream relative/" + std::string(120, 'x')), 1);
  EXPECT_NE(said.find("107 characters"), std::string::npos) << said;
  EXPECT_EQ(run("unetmap plug valep7:u"), 2);
  EXPECT_EQ(run("unetmap plug no-switch --stream " + path + "4"), 1);
  EXPECT_NE(said.find("no port of a switch"), std::string::npos) << said;
  EXPECT_EQ(run("unetmap unplug valep7:nothing"), 1);
  EXPECT_EQ(run("vale-ctl -d valep7:s"), 1);
  EXPECT_EQ(nmport_open("valep7:s"), nullptr);
  EXPECT_EQ(errno, EBUSY);
  EXPECT_EQ(run("unetmap unplug valep7:s"), 0) << said;
}

TEST(PlugTest, KilledWorkerIsReplaced) {
  std::string path = scratch() + "/replaced";
  ASSERT_EQ(run("unetmap plug valep8:s --stream " + path), 0) << said;
  Port port("valep8:x");
  for (int round = 0; round < 3; round++) {
    pid_t worker = worker_of("valep8:s");
    ASSERT_GT(worker, 1) << said;
    int peer = unix_socket(SOCK_STREAM, "", path);
    // A port that a dead sender could write to is put in order at its next sync, and may lose what comes meanwhile.
    ASSERT_TRUE(flows::eventually([&] {
      send_framed(peer, frame_of(1, 60));
      return port.receive(200) == frame_of(1, 60);
    }));
    ASSERT_GT(worker, 1);
    kill(worker, SIGKILL);
    char byte;
    EXPECT_LE(recv(peer, &byte, 1, 0), 0);
    close(peer);
    ASSERT_TRUE(flows::eventually([&] {
      pid_t now = worker_of("valep8:s");
      return now > 1 && now != worker && said.find("listening on " + path) != std::string::npos;
    })) << said;
    EXPECT_LT(kill(worker, 0), 0) << "nobody reaped it";
  }
  EXPECT_EQ(run("unetmap unplug valep8:s"), 0) << said;
}

TEST(PlugTest, PlugsOutliveTheDaemon) {
  std::string before = getenv("UNETMAP_SOCKET");
  setenv("UNETMAP_SOCKET", (before + ".outlives").c_str(), 1);
  std::string path = scratch() + "/outlives";
  ASSERT_EQ(run("unetmap plug valep9:s --stream " + path), 0) << said;
  ASSERT_EQ(run("unetmap plug valep9:gone --stream " + path + "-gone && unetmap unplug valep9:gone"), 0) << said;
  for (int signal : {SIGKILL, SIGTERM, SIGKILL}) {
    pid_t worker = worker_of("valep9:s");
    ASSERT_EQ(run("unetmap daemon --json"), 0);
    pid_t daemon = pid_t(number_after(said, "pid"));
    ASSERT_GT(daemon, 1);
    int peer = unix_socket(SOCK_STREAM, "", path);
    kill(daemon, signal);
    char byte;
    EXPECT_LE(recv(peer, &byte, 1, 0), 0) << "the worker outlives its daemon";
    close(peer);
    EXPECT_TRUE(flows::eventually([&] { return kill(worker, 0) < 0; }));
    // The next daemon comes with the next user, and the peer finds its socket again.
    Port port("valep9:x");
    ASSERT_TRUE(port);
    peer = unix_socket(SOCK_STREAM, "", path);
    send_framed(peer, frame_of(3, 200));
    EXPECT_EQ(port.receive(), frame_of(3, 200));
    close(peer);
  }
  EXPECT_LT(worker_of("valep9:gone"), 1);
  EXPECT_EQ(run("unetmap unplug valep9:s"), 0) << said;
  struct stat info;
  EXPECT_LT(stat((before + ".outlives.plugs").c_str(), &info), 0);
  setenv("UNETMAP_SOCKET", before.c_str(), 1);
}

// What a fenced peer may not send is lost and counted, before and after the daemon's and the worker's death.
TEST(PlugTest, FencesHoldAndLast) {
  std::string before = getenv("UNETMAP_SOCKET");
  setenv("UNETMAP_SOCKET", (before + ".fences").c_str(), 1);
  std::string path = scratch() + "/fenced", other_path = scratch() + "/fenced-other";
  ASSERT_EQ(run("unetmap plug valep10:f --stream " + path + " --mac 02:50:00:00:00:01 --isolated 7"), 0) << said;
  ASSERT_EQ(run("unetmap plug valep10:g --stream " + other_path), 0) << said;
  ASSERT_EQ(run("unetmap set valep10:g isolated 7"), 0) << said;
  EXPECT_EQ(run("unetmap set valep10:g mac nonsense"), 1);
  EXPECT_EQ(run("unetmap set valep10:g rate fast"), 2);
  for (int life = 0; life < 2; life++) {
    Port port("valep10:x");
    ASSERT_TRUE(port);
    int fenced = unix_socket(SOCK_STREAM, "", path), other = unix_socket(SOCK_STREAM, "", other_path);
    send_framed(fenced, frame_of(1, 60, 2));  // from another address
    send_framed(fenced, frame_of(2, 60, 1));
    EXPECT_EQ(port.receive(), frame_of(2, 60, 1));
    EXPECT_EQ(counter_of("valep10:f", "tx", "lost_spoofed"), 1u);
    // The first that the isolated one gets is the program's, although the fenced one's was a broadcast.
    ASSERT_TRUE(port.send(frame_of(3, 60, 9)));
    EXPECT_EQ(receive_framed(other), frame_of(3, 60, 9));
    close(fenced);
    close(other);
    ASSERT_EQ(run("unetmap daemon --json"), 0);
    if (life > 0) break;
    auto daemon = pid_t(number_after(said, "pid"));
    ASSERT_GT(daemon, 1);
    ASSERT_EQ(kill(daemon, SIGKILL), 0);
    ASSERT_TRUE(flows::eventually([&] { return kill(daemon, 0) < 0; }));
  }
  ASSERT_EQ(run("unetmap set valep10:f mac off && unetmap set valep10:f rate 80k"), 0) << said;
  {
    Port port("valep10:y");
    int fenced = unix_socket(SOCK_STREAM, "", path);
    for (int i = 0; i < 400; i++) send_framed(fenced, frame_of(uint32_t(i), 1514, 2));
    EXPECT_TRUE(flows::eventually([] { return counter_of("valep10:f", "tx", "lost_rate") > 100; })) << said;
    EXPECT_EQ(port.receive(), frame_of(0, 1514, 2));
    close(fenced);
  }
  EXPECT_EQ(run("unetmap unplug valep10:f && unetmap unplug valep10:g"), 0) << said;
  setenv("UNETMAP_SOCKET", before.c_str(), 1);
}

}  // namespace
}  // namespace plugged
