// SPDX-License-Identifier: BSD-2-Clause
// A port that is passed through, without a machine: a client connects to its socket as QEMU does, and maps nothing but
// the memory that it gets. Packets both ways with all their bytes, guests that are killed, mean ill or go away, and
// what is left of them.
#include <gtest/gtest.h>

#include <memory>
#include <new>
#include <optional>

#include "dev/passthrough/layout.hh"
#include "driver/passthrough/device.hh"
#include "driver/test_machine.hh"
#include "plugged.hh"

namespace {

using namespace plugged;
using namespace unetmap;
using driver::TestMachine;

// QEMU and the guest in it: BAR 2 is the memory, BAR 0 leads to the doorbell.
class Guest final : public driver::Registers {
 public:
  static constexpr uint32_t kDoorbellAt = 12;

  explicit Guest(const std::string& path) : socket_(unix_socket(SOCK_STREAM, "", path)) {}
  ~Guest() override {
    if (at_) munmap(at_, bytes_);
  }
  Guest(const Guest&) = delete;

  // What the server says, in the order of the protocol.
  bool connect() {
    int fds[3] = {-1, -1, -1};
    const int64_t wanted[] = {0, passthrough::kGuestPeer, -1, passthrough::kHostPeer, passthrough::kGuestPeer};
    for (size_t i = 0; i < std::size(wanted); i++) {
      int fd = -1;
      if (next(fd) != wanted[i] || (fd >= 0) != (i >= 2)) return false;
      if (i >= 2) fds[i - 2] = fd;
    }
    memory_ = UniqueFd(fds[0]);
    doorbell_ = UniqueFd(fds[1]);
    interrupt_ = UniqueFd(fds[2]);
    struct stat info;
    if (fstat(fds[0], &info) < 0) return false;
    bytes_ = size_t(info.st_size);
    void* at = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
    at_ = at == MAP_FAILED ? nullptr : static_cast<uint8_t*>(at);
    return at_;
  }
  // As the keeper in a guest does.
  bool open() {
    new (&machine_.shared) driver::Shared{};
    auto started = device().start({}, machine_.shared, [](uint32_t us) { usleep(us); });
    if (!started) return ADD_FAILURE() << started.error().text, false;
    const driver::PassedMemory memory(at_, machine_.shared.descriptors);
    tx_.emplace(*this, machine_.shared, memory, machine_.tx_ring());
    rx_.emplace(*this, machine_.shared, memory, machine_.rx_ring());
    rings_.emplace(driver::TestRings{*tx_, *rx_});
    return true;
  }
  void close() {
    device().stop([](uint32_t) {});
  }

  bool send(const Bytes& frame) {
    rings_->sync_tx();
    constexpr uint32_t kPart = 1700;
    if (rings_->room() < frame.size() / kPart + 1) return false;
    std::vector<uint32_t> cuts(frame.size() / kPart, kPart);
    rings_->tx_head = (rings_->tx_head + machine_.fill(rings_->tx_head, frame, cuts)) % TestMachine::kSlots;
    rings_->sync_tx();
    return true;
  }
  // Whether the host has been given all.
  bool sent() {
    rings_->sync_tx();
    return rings_->tx_cur == rings_->tx_head;
  }
  std::vector<Bytes> receive() {
    rings_->sync_rx();
    std::vector<Bytes> out;
    bool more = false;
    for (; rings_->rx_head != rings_->rx_tail; rings_->rx_head = (rings_->rx_head + 1) % TestMachine::kSlots) {
      Bytes part = machine_.shown(rings_->rx_head);
      if (!more) out.emplace_back();
      out.back().insert(out.back().end(), part.begin(), part.end());
      more = machine_.rx_slots_[rings_->rx_head].flags & NS_MOREFRAG;
    }
    return out;
  }
  Bytes await() {
    std::vector<Bytes> got;
    if (!flows::eventually([&] { return got = receive(), !got.empty(); })) return {};
    EXPECT_EQ(got.size(), 1u);
    return got[0];
  }

  uint32_t read(uint32_t, unsigned) override { return UINT32_MAX; }
  void write(uint32_t offset, uint32_t value, unsigned) override {
    const uint64_t one = 1;
    EXPECT_EQ(offset, kDoorbellAt);
    EXPECT_EQ(value, passthrough::kDoorbellHost);
    EXPECT_EQ(::write(doorbell_.get(), &one, sizeof one), ssize_t(sizeof one));
  }

  bool hung_up() {
    char byte;
    return recv(socket_.get(), &byte, 1, MSG_DONTWAIT) == 0;
  }
  int socket_fd() const { return socket_.get(); }
  int memory_fd() const { return memory_.get(); }
  uint8_t* memory() { return at_; }
  size_t bytes() const { return bytes_; }
  const driver::Tally& sent_tally() const { return rings_->sent; }
  uint32_t doorbells() {
    return driver::PassedMemory(at_, machine_.shared.descriptors).guest().doorbells.load(std::memory_order_relaxed);
  }
  bool closed() {
    return driver::PassedMemory(at_, machine_.shared.descriptors).host().closed.load(std::memory_order_acquire) != 0;
  }

 private:
  driver::PassedDevice device() { return {*this, kDoorbellAt, {at_, bytes_}}; }
  int64_t next(int& fd) {
    int64_t value = INT64_MIN;
    iovec part{&value, sizeof value};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    if (recvmsg(socket_.get(), &message, MSG_WAITALL | MSG_CMSG_CLOEXEC) != ssize_t(sizeof value)) return INT64_MIN;
    if (cmsghdr* rights = CMSG_FIRSTHDR(&message); rights && rights->cmsg_type == SCM_RIGHTS)
      memcpy(&fd, CMSG_DATA(rights), sizeof fd);
    return value;
  }

  UniqueFd socket_, memory_, doorbell_, interrupt_;
  uint8_t* at_ = nullptr;
  size_t bytes_ = 0;
  TestMachine machine_;
  std::optional<driver::PassedTx> tx_;
  std::optional<driver::PassedRx> rx_;
  std::optional<driver::TestRings> rings_;
};

uint64_t status_of(const std::string& port, const std::string& counter) {
  EXPECT_EQ(run("unetmap stats --json " + port), 0) << said;
  return number_after(said, counter, said.find("\"status\":"));
}

class PassthroughTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(run("unetmap plug " + name + " --passthrough " + path), 0) << said;
    peer = std::make_unique<Port>("valeP:peer");
    ASSERT_TRUE(*peer);
  }
  void TearDown() override { EXPECT_EQ(run("unetmap unplug " + name), 0) << said; }
  std::unique_ptr<Guest> guest() {
    auto out = std::make_unique<Guest>(path);
    EXPECT_TRUE(out->connect());
    return out;
  }
  // Both ways, of each length.
  void exchange(Guest& with, uint32_t rounds = 1) {
    for (uint32_t round = 0; round < rounds; round++)
      for (size_t bytes : {14, 60, 61, 1514, 1792, 1793, 2048, 9018}) {
        const Bytes out = frame_of(++number_, bytes, 1), back = frame_of(++number_, bytes, 2);
        ASSERT_TRUE(with.send(out));
        ASSERT_EQ(peer->receive(), out) << bytes;
        ASSERT_TRUE(peer->send(back));
        ASSERT_EQ(with.await(), back) << bytes;
      }
  }

  const std::string name = "valeP:guest", path = scratch() + "/guest";
  std::unique_ptr<Port> peer;

 private:
  uint32_t number_ = 0;
};

TEST_F(PassthroughTest, FramesGoBothWaysWhole) {
  auto vm = guest();
  ASSERT_TRUE(vm->open());
  exchange(*vm, 20);
  EXPECT_EQ(status_of(name, "tx_packets"), 160u);
  EXPECT_EQ(status_of(name, "rx_packets"), 160u);
  EXPECT_EQ(status_of(name, "interrupts"), 0u);
  EXPECT_EQ(status_of(name, "doorbells"), vm->doorbells());
  ASSERT_EQ(run("unetmap ports --json"), 0);
  EXPECT_NE(said.find("\"kind\":\"passthrough\""), std::string::npos) << said;
}

// Counted at both ends. How often the host sleeps is the machine's to say; that few packets ring is not.
TEST_F(PassthroughTest, NothingIsLostUnderLoad) {
  ASSERT_EQ(run("unetmap set valeP:peer lossless on"), 0) << said;
  auto vm = guest();
  ASSERT_TRUE(vm->open());
  constexpr uint32_t kPackets = 50'000;
  const Bytes frame = frame_of(1, 60);
  uint32_t sent = 0, received = 0;
  ASSERT_TRUE(flows::eventually([&] {
    while (sent < kPackets && vm->send(frame)) sent++;
    (void)vm->sent();
    while (true) {
      const Bytes got = peer->receive(0);
      if (got.empty()) break;
      if (got != frame) return ADD_FAILURE() << "not what was sent", true;
      received++;
    }
    return received == kPackets;
  })) << sent
      << " sent, " << received << " received";
  EXPECT_EQ(vm->sent_tally().packets, kPackets);
  EXPECT_EQ(status_of(name, "tx_packets"), kPackets);
  EXPECT_EQ(status_of(name, "tx_bytes"), uint64_t{kPackets} * 60);
  RecordProperty("doorbells", int(vm->doorbells()));
  EXPECT_LT(vm->doorbells(), kPackets / 10);
}

TEST_F(PassthroughTest, WithoutADriverPacketsAreLostAndCounted) {
  auto vm = guest();
  for (int i = 0; i < 10; i++) ASSERT_TRUE(peer->send(frame_of(1, 60)));
  EXPECT_TRUE(flows::eventually([&] { return status_of(name, "lost_no_driver") == 10; }));
  ASSERT_TRUE(vm->open());
  exchange(*vm);
  vm->close();
  EXPECT_TRUE(flows::eventually([&] {
    EXPECT_TRUE(peer->send(frame_of(1, 60)));
    return status_of(name, "lost_no_driver") > 10;
  }));
  ASSERT_TRUE(vm->open());
  exchange(*vm);
}

// With its memory mapped and packets under way.
TEST_F(PassthroughTest, AGuestThatIsKilledLeavesThePortToTheNext) {
  for (int i = 0; i < 3; i++) {
    int ready[2];
    ASSERT_EQ(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) {
      Guest vm(path);
      if (!vm.connect() || !vm.open()) _exit(1);
      for (uint64_t n = 0;; n++) {
        (void)vm.send(frame_of(1, 60 + n % 1400));
        (void)vm.receive();
        if (n == 100 && write(ready[1], "", 1) != 1) _exit(1);
      }
    }
    close(ready[1]);
    char byte;
    ASSERT_EQ(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    kill(child, SIGKILL);
    ASSERT_EQ(waitpid(child, nullptr, 0), child);
    while (!peer->receive(0).empty()) {
    }
    auto vm = guest();
    // What the killed one sent may come until its end is seen.
    ASSERT_TRUE(vm->open());
    while (!peer->receive(200).empty()) {
    }
    exchange(*vm);
  }
}

// Each does what no guest may do; others of the switch notice nothing, and a driver that begins anew is served.
TEST_F(PassthroughTest, HostileGuestsHarmThemselvesOnly) {
  auto vm = guest();
  ASSERT_TRUE(vm->open());
  exchange(*vm);
  Port other("valeP:other");
  ASSERT_TRUE(other);
  const pid_t worker = worker_of(name);
  std::minstd_rand random(5);
  const uint64_t meaningful = passthrough::Layout{1024}.buffer(0) - passthrough::Layout::guest();
  ASSERT_EQ(passthrough::Layout{1024}.bytes(), vm->bytes());
  for (int round = 0; round < 200; round++) {
    for (uint32_t i = 0; i < 3000; i++) {
      const uint32_t choices[] = {uint32_t(random() % 1100), uint32_t(random()),
                                  uint32_t(random() % 1900) | NS_MOREFRAG << 16};
      memcpy(vm->memory() + passthrough::Layout::guest() + random() % meaningful / 4 * 4, &choices[random() % 3], 4);
    }
    vm->write(Guest::kDoorbellAt, passthrough::kDoorbellHost, 4);
    if (round % 20) continue;
    const Bytes frame = frame_of(uint32_t(round), 200, 7);
    ASSERT_TRUE(peer->send(frame));
    Bytes got;
    // What the hostile one sends goes where it leads.
    ASSERT_TRUE(flows::eventually([&] { return (got = other.receive(100)) == frame; }));
  }
  // The memory cannot be made shorter.
  EXPECT_LT(ftruncate(vm->memory_fd(), 4096), 0);
  EXPECT_EQ(worker_of(name), worker);
  ASSERT_TRUE(vm->open());
  while (!peer->receive(200).empty()) {
  }
  exchange(*vm);
}

TEST_F(PassthroughTest, AClientThatSpeaksIsNone) {
  auto vm = guest();
  ASSERT_EQ(::send(vm->socket_fd(), "hello", 5, MSG_NOSIGNAL), 5);
  EXPECT_TRUE(flows::eventually([&] { return vm->hung_up(); }));
  EXPECT_TRUE(flows::eventually([&] { return vm->memory() && guest() != nullptr; }));
  auto next = guest();
  ASSERT_TRUE(next->open());
  exchange(*next);
}

// What an earlier guest can still reach is nobody's any more.
TEST_F(PassthroughTest, EachConnectionHasItsOwnMemory) {
  auto first = guest();
  ASSERT_TRUE(first->open());
  shutdown(first->socket_fd(), SHUT_RDWR);
  EXPECT_TRUE(flows::eventually([&] { return first->closed(); }));
  auto second = guest();
  ASSERT_TRUE(second->open());
  memset(first->memory(), 0xff, first->bytes());
  exchange(*second);
}

TEST_F(PassthroughTest, ServesAgainAfterItsWorkerWasKilled) {
  {
    auto vm = guest();
    ASSERT_TRUE(vm->open());
    exchange(*vm);
    const pid_t worker = worker_of(name);
    ASSERT_GT(worker, 1);
    kill(worker, SIGKILL);
    ASSERT_TRUE(flows::eventually([&] { return vm->hung_up(); }));
    ASSERT_TRUE(flows::eventually([&] {
      const pid_t now = worker_of(name);
      return now > 1 && now != worker;
    }));
  }
  auto vm = guest();
  ASSERT_TRUE(vm->open());
  exchange(*vm);
}

TEST(Passthrough, AnUnpluggedPortTellsItsGuest) {
  const std::string path = scratch() + "/short";
  ASSERT_EQ(run("unetmap plug valeQ:a --passthrough " + path + " --slots 64"), 0) << said;
  Guest vm(path);
  ASSERT_TRUE(vm.connect());
  ASSERT_TRUE(vm.open());
  EXPECT_FALSE(vm.closed());
  ASSERT_EQ(run("unetmap unplug valeQ:a"), 0) << said;
  EXPECT_TRUE(vm.closed());
  EXPECT_EQ(access(path.c_str(), F_OK), -1);
}

TEST(Passthrough, WhatItCannotBeIsSaid) {
  EXPECT_EQ(run("unetmap plug valeQ:b --client --passthrough " + scratch() + "/b"), 1);
  EXPECT_NE(said.find("QEMU is the one that connects"), std::string::npos) << said;
  EXPECT_EQ(run("unetmap plug valeQ:b --rings 2 --passthrough " + scratch() + "/b"), 1);
  EXPECT_NE(said.find("one pair of rings"), std::string::npos) << said;
}

}  // namespace
