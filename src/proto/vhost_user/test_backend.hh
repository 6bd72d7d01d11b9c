// SPDX-License-Identifier: BSD-2-Clause
// For tests: a Backend with a device that notes what it is told, and a front-end at the other end of its connection.
#pragma once

#include "proto/vhost_user/backend.hh"
#include "proto/vhost_user/test_front_end.hh"

namespace unetmap::vhost_user {

inline constexpr uint64_t kMiB = 1 << 20, kFeatures = 0x1'0000'8003;

struct FakeDevice final : Device {
  // The number of a descriptor may be another's once it is closed.
  void ring_closing(uint32_t index) override {
    const Vring& ring = backend->ring(index);
    if (ring.kick) {
      EXPECT_GE(fcntl(ring.kick.get(), F_GETFD), 0);
    }
    closings++;
  }
  void ring_changed(uint32_t index) override { changed.push_back(index); }
  void call_changed(uint32_t index) override { calls_changed.push_back(index); }
  void memory_changed() override { memory_changes++; }
  void features_changed() override { feature_changes++; }
  uint32_t position(uint32_t index) override {
    EXPECT_TRUE(backend->ring(index).runs()) << "only the position of a ring that runs is the device's to know";
    return 100 + index;
  }
  void announce(const uint8_t (&mac)[6]) override { announced.assign(mac, mac + 6); }
  Result<void> set_mtu(uint16_t value) override {
    mtu = value;
    return {};
  }
  void refused(const std::string& why) override { refusals.push_back(why); }
  bool broken() const override { return is_broken; }
  void reset() override { resets++; }

  std::vector<uint32_t> changed, calls_changed;
  std::vector<std::string> refusals;
  Backend* backend = nullptr;
  int closings = 0, memory_changes = 0, feature_changes = 0, resets = 0;
  std::vector<uint8_t> announced;
  uint16_t mtu = 0;
  bool is_broken = false;
};

class VhostUserBackend : public testing::Test {
 protected:
  VhostUserBackend() : before_(open_descriptors()) {
    int pair[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    connection.emplace(UniqueFd(pair[0]));
    front.emplace(pair[1]);
    backend.emplace(Offer{.features = kFeatures, .rings = 4}, device);
    device.backend = &*backend;
  }
  ~VhostUserBackend() override {
    backend.reset();
    connection.reset();
    front.reset();
    EXPECT_EQ(open_descriptors(), before_) << "descriptors were left open";
  }

  // Serves what has come; the error that ended it, "" if none.
  std::string serve() {
    for (;;) {
      auto request = connection->receive();
      if (!request) return request.error().text;
      if (!*request) return "";
      auto reply = backend->handle(std::move(**request));
      if (!reply) return reply.error().text;
      if (!*reply) continue;
      if (auto sent = connection->send(**reply); !sent) return sent.error().text;
    }
  }
  void expect_good() { EXPECT_EQ(serve(), ""); }
  void expect_refused(const std::string& words) {
    std::string text = serve();
    EXPECT_NE(text.find(words), std::string::npos) << "got: " << text;
    backend->disconnected();
  }
  template <class T>
  T ask(Id id) {
    front->send(id);
    expect_good();
    return front->answer<T>(id);
  }
  void agree(uint64_t protocol = 0x1a01f, uint64_t features = kFeatures | kHasProtocolFeatures) {
    front->send_u64(Id::kSetProtocolFeatures, protocol);
    front->send_u64(Id::kSetFeatures, features);
    expect_good();
  }
  // Two regions of a MiB each in one file.
  void give_memory() {
    int fd = test_memfd(2 * kMiB);
    MemTable table{2, 0, {{0, kMiB, 0x10000000, 0}, {1ull << 32, kMiB, 0x20000000, kMiB}}};
    front->send(Id::kSetMemTable, &table, 8 + 2 * sizeof(MemRegion), {fd, fd});
    close(fd);
    expect_good();
  }
  void start_ring(uint32_t index) {
    int kick = eventfd(0, EFD_CLOEXEC);
    front->send_value(Id::kSetVringNum, VringState{index, 256});
    front->send_value(Id::kSetVringBase, VringState{index, 7});
    front->send_value(Id::kSetVringAddr, VringAddr{index, 0, 0x10000000, 0x10002000, 0x10001000, 0});
    front->send_u64(Id::kSetVringKick, index, {kick});
    front->send_value(Id::kSetVringEnable, VringState{index, 1});
    close(kick);
    expect_good();
  }

  size_t before_;
  FakeDevice device;
  std::optional<Connection> connection;
  std::optional<TestFrontEnd> front;
  std::optional<Backend> backend;
};

}  // namespace unetmap::vhost_user
