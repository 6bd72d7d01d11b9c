// SPDX-License-Identifier: BSD-2-Clause
// A lossless port: whoever sends, whoever receives, whatever the sizes of rings and batches, all that was taken from
// the sender arrives, in order, without a frame that comes behind.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <thread>

#include "endpoints.hh"
#include "process_state.hh"

namespace {

using namespace endpoints;
using flows::eventually;
using process_state::state_of;

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

// Of several that sleep until there is room each is woken in its turn: one that is stopped when it is his holds the
// others up neither at a receiver that sleeps nor at one that looks again and again.
TEST(LosslessProgramTest, WhoIsStoppedHoldsUpNobodyWhoWaitsBehindHim) {
  constexpr size_t kSenders = 4, kFrames = 200;
  for (bool receiver_sleeps : {false, true}) {
    SCOPED_TRACE(receiver_sleeps ? "a receiver that sleeps" : "a receiver that does not sleep");
    Program to("valeM:few", {.slots = 16, .lossless = true});
    std::vector<std::unique_ptr<Program>> from;
    std::vector<pid_t> sleepers;
    for (size_t i = 0; i < kSenders; i++) {
      from.push_back(std::make_unique<Program>("valeM:from" + std::to_string(i), Shape{}));
      ASSERT_TRUE(introduce(to, kReceiver, *from.back()));
    }
    for (size_t i = 0; i < kSenders; i++) {
      std::vector<Bytes> frames;
      for (size_t n = 1; n <= kFrames; n++) frames.push_back(vm::frame_from_to(uint8_t(kSender + i), kReceiver, n, 60));
      ASSERT_EQ(from[i]->put(frames), kFrames);
      sleepers.push_back(flows::spawn([&] {
        pollfd fd{from[i]->get_port()->fd, 0, 0};
        for (;;) poll(&fd, 1, -1);
      }));
      ASSERT_TRUE(eventually([&] { return state_of(sleepers.back()) == 'S'; }));
    }
    kill(sleepers[0], SIGSTOP);
    ASSERT_TRUE(eventually([&] { return state_of(sleepers[0]) == 'T'; }));
    std::vector<size_t> got(kSenders);
    auto others_came = [&] {
      return std::all_of(got.begin() + 1, got.end(), [](size_t each) { return each == kFrames; });
    };
    auto take_until = [&](const std::function<bool()>& enough) {
      pollfd fd{to.get_port()->fd, POLLIN, 0};
      for (uint64_t until = flows::now_ms() + 20000; !enough() && flows::now_ms() < until;) {
        if (receiver_sleeps) poll(&fd, 1, 1000);
        for (const Bytes& frame : to.get())
          if (frame[11] >= kSender && frame[11] < kSender + kSenders) got[frame[11] - kSender]++;
      }
      return enough();
    };
    EXPECT_TRUE(take_until(others_came)) << got[1] << ", " << got[2] << " and " << got[3] << " frames came";
    kill(sleepers[0], SIGCONT);
    EXPECT_TRUE(take_until([&] { return got[0] == kFrames; })) << got[0] << " frames came of who was stopped";
    for (pid_t pid : sleepers) {
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
    }
  }
}

const testing::Environment* const own_daemon = testing::AddGlobalTestEnvironment(new OwnDaemon);

}  // namespace
