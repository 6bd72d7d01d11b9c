// SPDX-License-Identifier: BSD-2-Clause
// What a machine's traffic loses, and how long nothing comes, when the process that serves its port is killed or
// stopped, and when the daemon is killed: a frame each millisecond from the guest to a program, for vhost-user's ring
// layouts and for our card. Printed for docs/restarts.md; held is that it goes on, and that no frame comes twice.
#include <gtest/gtest.h>

#include <deque>
#include <set>

#include "card.hh"
#include "endpoints.hh"

namespace {

using namespace endpoints;
using card::Card;
using flows::eventually;
using flows::now_ms;

constexpr uint8_t kGuest = 1, kProgram = 2;
constexpr uint64_t kFrames = 600, kEventAt = 200, kStopped_ms = 400;

enum class What { kWorkerKilled, kWorkerStopped, kDaemonKilled };
constexpr const char* kWhatNames[] = {"WorkerKilled", "WorkerStopped", "DaemonKilled"};
enum class Device { kSplit, kPacked, kCard };
constexpr const char* kDeviceNames[] = {"Split", "Packed", "Card"};

// A guest whose driver starts its device again when its front-end has found it again.
class Guest {
 public:
  Guest(Device device, const std::string& path) : packed_(device == Device::kPacked) {
    if (device == Device::kCard)
      card_ = std::make_unique<Card>(path);
    else
      vm_ = std::make_unique<vm::Vm>(path, vm::kBasic | (packed_ ? vm::kRingPacked : 0));
  }
  bool connect() {
    if (card_) {
      if (!card_->connect()) return false;
      card_->start();
      return true;
    }
    // Where a packed ring stands the ring does not tell: its driver begins anew.
    if (packed_ && begun_) vm_->boot();
    begun_ = true;
    return vm_->connect();
  }
  bool hung_up() { return card_ ? card_->hung_up() : vm_->hung_up(); }
  bool send(const Bytes& frame) {
    if (card_) return card_->send(frame);
    const bool taken = vm_->send(frame);
    vm_->force_kick(1);
    return taken;
  }

 private:
  const bool packed_;
  bool begun_ = false;
  std::unique_ptr<vm::Vm> vm_;
  std::unique_ptr<Card> card_;
};

// A program that opens its port again, where the daemon it had it from is gone.
class Receiver {
 public:
  explicit Receiver(const std::string& name) : name_(name), port_(flows::open_port(name)) {}
  ~Receiver() { nmport_close(port_); }
  bool take(const std::function<void(uint64_t)>& each) {
    if (ioctl(port_->fd, NIOCRXSYNC, nullptr) < 0) return false;
    netmap_ring* ring = NETMAP_RXRING(port_->nifp, 0);
    for (; !nm_ring_empty(ring); ring->head = ring->cur = nm_ring_next(ring, ring->head)) {
      const netmap_slot& slot = ring->slot[ring->head];
      const auto* data = reinterpret_cast<const uint8_t*>(NETMAP_BUF(ring, slot.buf_idx));
      if (slot.len >= 22 && data[5] == kProgram && data[11] == kGuest)
        each(vm::number_of(Bytes(data, data + slot.len)));
    }
    return true;
  }
  void open_again() {
    nmport_close(port_);
    port_ = nullptr;
    EXPECT_TRUE(eventually([&] { return (port_ = flows::open_port(name_)) != nullptr; }));
  }
  int fd() const { return port_->fd; }

 private:
  std::string name_;
  nmport_d* port_;
};

pid_t pid_behind(const std::string& json, const std::string& key) {
  const size_t at = json.find("\"" + key + "\":");
  return at == std::string::npos ? -1 : pid_t(atol(json.c_str() + at + key.size() + 3));
}
pid_t worker_of(const std::string& port) {
  EXPECT_EQ(run("unetmap ports --json " + port), 0) << said;
  const size_t plug = said.find("\"plug\":");
  return plug == std::string::npos ? -1 : pid_behind(said.substr(plug), "pid");
}

class VmRestartGaps : public testing::TestWithParam<std::tuple<Device, What>> {};
INSTANTIATE_TEST_SUITE_P(Table, VmRestartGaps,
                         testing::Combine(testing::Values(Device::kSplit, Device::kPacked, Device::kCard),
                                          testing::Values(What::kWorkerKilled, What::kWorkerStopped,
                                                          What::kDaemonKilled)),
                         [](const auto& info) {
                           return std::string(kDeviceNames[int(std::get<0>(info.param))]) +
                                  kWhatNames[int(std::get<1>(info.param))];
                         });

TEST_P(VmRestartGaps, GoesOn) {
  const auto [device, what] = GetParam();
  const std::string path = scratch() + "/gaps";
  ASSERT_EQ(
      run(std::string("unetmap plug valeG:vm ") + (device == Device::kCard ? "--e1000 " : "--vhost-user ") + path), 0)
      << said;
  Receiver receiver("valeG:program");
  Guest guest(device, path);
  ASSERT_TRUE(eventually([&] { return guest.connect(); }));
  std::set<uint64_t> came;
  uint64_t twice = 0, last_ms = 0, gap_ms = 0;
  auto take = [&] {
    const bool open = receiver.take([&](uint64_t number) {
      const uint64_t now = now_ms();
      if (last_ms) gap_ms = std::max(gap_ms, now - last_ms);
      last_ms = now;
      twice += !came.insert(number).second;
    });
    if (!open) receiver.open_again();
  };
  const pid_t worker = worker_of("valeG:vm"), daemon = flows::daemon_of(receiver.fd());
  ASSERT_GT(worker, 1);
  ASSERT_GT(daemon, 1);
  const uint64_t begun = now_ms();
  uint64_t resumed_at = 0;
  std::deque<uint64_t> pending;  // in the guest, while its rings are full or it has no device
  for (uint64_t number = 1; number <= kFrames; number++) {
    if (number == kEventAt) {
      ASSERT_EQ(kill(what == What::kDaemonKilled ? daemon : worker, what == What::kWorkerStopped ? SIGSTOP : SIGKILL),
                0);
      if (what == What::kWorkerStopped) resumed_at = now_ms() + kStopped_ms;
    }
    if (resumed_at && now_ms() >= resumed_at) {
      kill(worker, SIGCONT);
      resumed_at = 0;
    }
    // Its front-end tries again and again, as QEMU does.
    if (guest.hung_up()) (void)guest.connect();
    pending.push_back(number);
    while (!pending.empty() && !guest.hung_up() && guest.send(vm::frame_from_to(kGuest, kProgram, pending.front())))
      pending.pop_front();
    take();
    while (now_ms() < begun + number) usleep(100);
  }
  if (resumed_at) kill(worker, SIGCONT);
  // Whatever was lost: what is sent now comes.
  uint64_t number = pending.empty() ? kFrames : pending.front() - 1;
  const uint64_t ended = now_ms();
  EXPECT_TRUE(eventually([&] {
    if (guest.hung_up()) (void)guest.connect();
    if (!guest.hung_up() && guest.send(vm::frame_from_to(kGuest, kProgram, number + 1))) number++;
    take();
    return !came.empty() && *came.rbegin() > kFrames;
  })) << "does not go on";
  EXPECT_EQ(twice, 0u);
  uint64_t arrived = 0;
  for (const uint64_t each : came) arrived += each <= kFrames;
  printf("%s, %s: longest gap %llu ms, %llu of %llu lost%s\n", kDeviceNames[int(device)], kWhatNames[int(what)],
         static_cast<unsigned long long>(gap_ms), static_cast<unsigned long long>(kFrames - arrived),
         static_cast<unsigned long long>(kFrames), now_ms() - ended > 50 ? ", went on later" : "");
  EXPECT_EQ(run("unetmap unplug valeG:vm"), 0) << said;
}

const testing::Environment* const own_daemon = testing::AddGlobalTestEnvironment(new OwnDaemon);

}  // namespace
