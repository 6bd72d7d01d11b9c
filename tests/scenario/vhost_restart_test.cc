// SPDX-License-Identifier: BSD-2-Clause
// The daemon killed again and again under the traffic of two guests: their front-ends find the next one, the rings go
// on where they were, no descriptor is lost, and no frame comes twice over one connection. UNETMAP_LIVES=N kills as often
// for each layout, in place of 30 times.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <random>

#include "vm.hh"

namespace {

using namespace vm;
using flows::eventually;

// Opening a port starts a daemon where there is none, which takes up what was plugged.
pid_t daemon_pid() {
  nmport_d* probe = flows::open_port("valeR:probe");
  if (!probe) return -1;
  const pid_t pid = flows::daemon_of(probe->fd);
  nmport_close(probe);
  return pid;
}

class Restarts {
 public:
  explicit Restarts(uint64_t features)
      : packed_(features & kRingPacked), a_(path_of("ra"), kBasic | features), b_(path_of("rb"), kBasic | features) {}

  // Traffic over new connections until the daemon, killed in the middle of it, is gone.
  void life(bool gently) {
    if (packed_ && lives_ > 0) {
      // Where a packed ring stands, the ring does not tell: its driver begins anew, as virtio-user's does.
      a_.boot();
      b_.boot();
    }
    ASSERT_TRUE(eventually([&] { return b_.connect(); }));
    ASSERT_TRUE(eventually([&] { return a_.connect(); }));
    for (int i = 0; i < 2; i++) {
      a_.force_kick(i);
      b_.force_kick(i);
    }
    uint64_t last = 0, arrived = 0;
    const uint64_t enough = 20 + random_() % 200;
    pid_t pid = -1;
    ASSERT_TRUE(eventually([&] {
      pump();
      for (const Frame& frame : b_.receive()) {
        const uint64_t number = number_of(frame.bytes);
        if (frame.bytes != frame_from_to(1, 2, number, 60 + number % 1000)) complain(frame, arrived);
        twice_ += number <= last;
        last = number;
        if (arrived++ == 0 && killed_at_) pauses_.push_back(flows::now_ms() - killed_at_);
      }
      if (arrived < enough) return false;
      if (pid < 0) {
        pid = daemon_pid();
        if (pid <= 0) return false;  // never to everybody
        killed_at_ = flows::now_ms();
        kill(pid, gently ? SIGTERM : SIGKILL);
      }
      return a_.hung_up() && b_.hung_up();
    })) << arrived
        << " frames arrived in life " << lives_;
    (void)b_.receive();
    a_.disconnect(false);
    b_.disconnect(false);
    ASSERT_EQ(complaint_, "") << "in life " << lives_;
    ASSERT_EQ(twice_, 0u) << "in life " << lives_;
    frames_ += arrived;
    lives_++;
    ASSERT_TRUE(eventually([&] {
      const pid_t next = daemon_pid();
      return next > 0 && next != pid;
    })) << "no new daemon";
  }
  // What is still on its way comes back.
  void end() {
    if (packed_) return;
    ASSERT_TRUE(eventually([&] { return a_.connect() && b_.connect(); }));
    a_.force_kick(1);
    EXPECT_TRUE(eventually([&] {
      (void)b_.receive();
      return a_.all_returned();
    })) << "transmit descriptors are lost";
  }
  void report() {
    std::sort(pauses_.begin(), pauses_.end());
    printf(
        "%u daemons, %llu frames of %llu sent; from the kill to the first frame afterwards: median %llu "
        "ms, longest %llu ms\n",
        lives_, static_cast<unsigned long long>(frames_), static_cast<unsigned long long>(next_),
        static_cast<unsigned long long>(pauses_[pauses_.size() / 2]), static_cast<unsigned long long>(pauses_.back()));
  }

 private:
  void complain(const Frame& frame, uint64_t arrived) {
    const uint64_t number = number_of(frame.bytes);
    const auto sent = frame_from_to(1, 2, number, 60 + number % 1000);
    const size_t same = static_cast<size_t>(
        std::mismatch(sent.begin(), sent.begin() + long(std::min(sent.size(), frame.bytes.size())), frame.bytes.begin())
            .first -
        sent.begin());
    complaint_ += "frame " + std::to_string(arrived) + " of this life calls itself number " + std::to_string(number) +
                  " (next to send: " + std::to_string(next_) + "), has " + std::to_string(frame.bytes.size()) +
                  " bytes instead of " + std::to_string(sent.size()) + ", the first " + std::to_string(same) +
                  " right\n";
  }
  void pump() {
    for (int i = 0; i < 16 && a_.send(frame_from_to(1, 2, next_, 60 + next_ % 1000), {}, next_ % 5 == 0); i++) next_++;
  }

  const bool packed_;
  Vm a_, b_;
  std::mt19937 random_{1};
  uint64_t next_ = 1, twice_ = 0, frames_ = 0;
  std::string complaint_;
  uint32_t lives_ = 0;
  uint64_t killed_at_ = 0;
  std::vector<uint64_t> pauses_;
};

class VhostRestartTest : public testing::TestWithParam<uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Layouts, VhostRestartTest, testing::Values(0, kEventIdx | kInOrder, kRingPacked | kEventIdx),
                         [](const auto& info) {
                           return std::string(info.param & kRingPacked ? "Packed" : "Split") +
                                  (info.param & kInOrder ? "InOrder" : "");
                         });

TEST_P(VhostRestartTest, NoDescriptorIsLostAndNoFrameComesTwice) {
  for (const char* name : {"ra", "rb"})
    ASSERT_EQ(system(("unetmap plug valeR:" + std::string(name) + " --vhost-user " + path_of(name) + " >&2").c_str()),
              0);
  Restarts restarts(GetParam());
  const char* wanted = getenv("UNETMAP_LIVES");
  const int lives = wanted ? atoi(wanted) : 30;
  for (int i = 0; i < lives && !HasFatalFailure(); i++) restarts.life(i % 2);
  if (!HasFatalFailure()) restarts.end();
  if (!HasFatalFailure()) restarts.report();
  for (const char* name : {"ra", "rb"}) EXPECT_EQ(system(("unetmap unplug valeR:" + std::string(name)).c_str()), 0);
}

}  // namespace
