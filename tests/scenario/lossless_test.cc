// SPDX-License-Identifier: BSD-2-Clause
// A lossless port: whoever sends, whoever receives, whatever the sizes of rings and batches, all that was taken from
// the sender arrives, in order, without a frame that comes behind.
#include <gtest/gtest.h>

#include <thread>

#include "endpoints.hh"

namespace {

using namespace endpoints;
using flows::eventually;

constexpr uint8_t kReceiver = 2, kSender = 10;

struct Case {
  Kind receiver;
  uint32_t slots;
};

class LosslessTest : public testing::TestWithParam<Case> {
 protected:
  static void SetUpTestSuite() { (void)own_network(); }
};

std::vector<Case> cases() {
  std::vector<Case> out;
  for (Kind kind : kKinds)
    for (uint32_t slots : {2, 64, 1024}) out.push_back({kind, slots});
  return out;
}

INSTANTIATE_TEST_SUITE_P(Table, LosslessTest, testing::ValuesIn(cases()), [](const auto& info) {
  return std::string(name_of(info.param.receiver)) + "Slots" + std::to_string(info.param.slots);
});

// Frames numbered from `first` on.
std::vector<Bytes> frames_of(uint64_t first, size_t count, size_t bytes) {
  std::vector<Bytes> out;
  for (size_t i = 0; i < count; i++) out.push_back(vm::frame_from_to(kSender, kReceiver, first + i, bytes));
  return out;
}

// Sends `count` frames, first while nobody takes any, until no more are taken; then they are taken out.
void cross(Endpoint& from, Endpoint& to, size_t count, size_t batch, size_t bytes) {
  const uint64_t lost_before = from.lost_before();
  std::vector<Bytes> frames = frames_of(1, count, bytes);
  size_t sent = 0;
  auto send = [&] {
    size_t n = std::min(batch, count - sent);
    n = from.put(std::span(frames).subspan(sent, n));
    sent += n;
    return n > 0;
  };
  for (int idle = 0; idle < 20 && sent < count;) {
    if (send()) {
      idle = 0;
    } else {
      idle++;
      usleep(1000);
    }
  }
  uint64_t got = 0, last = 0;
  bool good = true;
  auto receive = [&] {
    bool any = false;
    for (const Bytes& frame : to.get()) {
      if (frame.size() != bytes || frame[5] != kReceiver || frame[11] != kSender) continue;
      uint64_t number = vm::number_of(frame);
      good = good && number > last && number <= count && frame == frames[number - 1];
      last = number;
      got++;
      any = true;
    }
    return any;
  };
  uint64_t since = flows::now_ms();
  while (good && (sent < count || got + (from.lost_before() - lost_before) < count)) {
    bool any = receive();
    any = (sent < count && send()) || any;
    if (sent == count) from.wait();
    uint64_t now = flows::now_ms();
    if (any)
      since = now;
    else
      usleep(500);
    if (now - since > 10000) break;
  }
  EXPECT_TRUE(good) << "after frame " << last << ": not what was sent, or not in its place";
  EXPECT_EQ(sent, count) << "the sender is held up although its frames are taken";
  EXPECT_EQ(got + (from.lost_before() - lost_before), count) << "of those that were taken; the last is " << last;
}

TEST_P(LosslessTest, AllThatWasTakenArrives) {
  const auto [receiver, slots] = GetParam();
  const std::string sw = "valeL:";
  if (receiver == Kind::kTap && !own_network()) GTEST_SKIP() << "takes root and /dev/net/tun, for taps";
  if (receiver == Kind::kTap && slots == 2) {
    // Its tap is served by a port beside it, whose rings are as long as a tap needs.
    EXPECT_EQ(run("vale-ctl -n lzshort -C 2,2,1,1 && vale-ctl -a valeL:lzshort && vale-ctl -d valeL:lzshort"), 0) << said;
    EXPECT_EQ(run("vale-ctl -r lzshort"), 0) << said;
    return;
  }
  auto to = make(receiver, sw + "lzto", {.slots = slots, .lossless = true});
  const size_t count = slots == 2 ? 300 : slots == 64 ? 800 : 2500;
  for (Kind kind : kKinds) {
    if (kind == Kind::kTap && !own_network()) continue;
    SCOPED_TRACE(std::string("from ") + name_of(kind));
    auto from = make(kind, sw + "lzfrom");
    ASSERT_TRUE(introduce(*to, kReceiver, *from));
    for (size_t batch : {1, 16, 200}) {
      SCOPED_TRACE("in batches of " + std::to_string(batch));
      cross(*from, *to, count, batch, 60);
      if (HasFailure()) return;
    }
    cross(*from, *to, count / 2, 50, 1400);
    if (slots > 2) cross(*from, *to, count / 10, 16, kind == Kind::kTap ? 4000 : 9000);
    if (HasFailure()) return;
  }
}

// What a program handed over goes on while it sleeps in poll, whatever it waits for there.
TEST(LosslessProgramTest, WhatIsHandedOverGoesOnInPoll) {
  Program from("valeM:from", {}), to("valeM:to", {.slots = 16, .lossless = true});
  ASSERT_TRUE(introduce(to, kReceiver, from));
  for (short events : {short(POLLIN), short(0)}) {
    std::vector<Bytes> frames = frames_of(1, 500, 60);
    ASSERT_EQ(from.put(frames), 500u);
    int stop = eventfd(0, EFD_CLOEXEC);
    std::thread sleeper([&] {
      pollfd fds[2] = {{from.get_port()->fd, events, 0}, {stop, POLLIN, 0}};
      poll(fds, 2, -1);
    });
    size_t got = 0;
    EXPECT_TRUE(eventually([&] { return (got += to.get().size()) >= 500; })) << got << " of 500 arrived";
    uint64_t one = 1;
    ASSERT_EQ(write(stop, &one, 8), 8);
    sleeper.join();
    close(stop);
  }
}

const testing::Environment* const own_daemon = testing::AddGlobalTestEnvironment(new OwnDaemon);

}  // namespace
