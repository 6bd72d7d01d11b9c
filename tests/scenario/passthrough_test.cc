// SPDX-License-Identifier: BSD-2-Clause
// A port that is passed through, without a machine: packets both ways with all their bytes, guests that are killed, mean
// ill or go away, and what is left of them.
#include <gtest/gtest.h>

#include <memory>
#include <thread>

#include "passed_guest.hh"

namespace {

using namespace plugged;
using namespace unetmap;

uint64_t status_of(const std::string& port, const std::string& counter) {
  EXPECT_EQ(run("unetmap stats --json " + port), 0) << said;
  return number_after(said, counter, said.find("\"status\":"));
}

class PassthroughTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(run("unetmap plug " + name + " --slots 64 --passthrough " + path), 0) << said;
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
  constexpr uint32_t kPackets = 5000;
  const Bytes frame = frame_of(1, 60);
  uint32_t sent = 0, received = 0;
  ASSERT_TRUE(flows::eventually([&] {
    for (int round = 0; round < 200; round++) {  // a ring has few slots
      while (sent < kPackets && vm->send(frame)) sent++;
      (void)vm->sent();
      for (Bytes got = peer->receive(0); !got.empty(); got = peer->receive(0)) {
        if (got != frame) return ADD_FAILURE() << "not what was sent", true;
        received++;
      }
      sched_yield();
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
  const uint64_t meaningful = passthrough::Layout{TestMachine::kSlots}.buffer(0) - passthrough::Layout::guest();
  ASSERT_EQ(passthrough::Layout{TestMachine::kSlots}.bytes(), vm->bytes());
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

// From one of ours to another, by addresses that the switch has learned: whoever serves both copies it once.
Bytes between(uint32_t number, size_t bytes, uint8_t from, uint8_t to) {
  Bytes out = frame_of(number, bytes, from);
  const uint8_t address[] = {0x02, 0x50, 0, 0, 0, to};
  memcpy(out.data(), address, sizeof address);
  return out;
}

TEST(Passthrough, GuestsOfASwitchReachEachOther) {
  const std::string a = scratch() + "/a", b = scratch() + "/b";
  ASSERT_EQ(run("unetmap plug valeG:a --slots 64 --passthrough " + a), 0) << said;
  ASSERT_EQ(run("unetmap plug valeG:b --slots 64 --passthrough " + b), 0) << said;
  EXPECT_EQ(worker_of("valeG:a"), worker_of("valeG:b"));
  Guest one(a), other(b);
  ASSERT_TRUE(one.connect() && other.connect() && one.open() && other.open());
  // Each tells where it is, to everybody.
  ASSERT_TRUE(one.send(frame_of(1, 60, 1)));
  ASSERT_EQ(other.await(), frame_of(1, 60, 1));
  ASSERT_TRUE(other.send(frame_of(2, 60, 2)));
  ASSERT_EQ(one.await(), frame_of(2, 60, 2));
  uint32_t number = 10;
  for (uint32_t round = 0; round < 20; round++)
    for (size_t bytes : {14, 60, 64, 65, 1514, 2112, 2113, 9018}) {
      const Bytes out = between(++number, bytes, 1, 2), back = between(++number, bytes, 2, 1);
      ASSERT_TRUE(one.send(out));
      ASSERT_EQ(other.await(), out) << bytes;
      ASSERT_TRUE(other.send(back));
      ASSERT_EQ(one.await(), back) << bytes;
    }
  EXPECT_EQ(counter_of("valeG:a", "tx", "packets"), 161u);
  EXPECT_EQ(counter_of("valeG:b", "rx", "packets"), 161u);
  // A flood of them, whose receiver takes its time: in order, and what is missing is counted as lost.
  ASSERT_EQ(run("unetmap set valeG:b lossless on"), 0) << said;
  constexpr uint32_t kPackets = 5000;
  uint32_t sent = 0, received = 0;
  ASSERT_TRUE(flows::eventually([&] {
    while (sent < kPackets && one.send(between(sent, 60 + sent % 1400, 1, 2))) sent++;
    (void)one.sent();
    for (const Bytes& got : other.receive()) {
      if (got != between(received, 60 + received % 1400, 1, 2)) return ADD_FAILURE() << received, true;
      received++;
    }
    return received == kPackets;
  })) << sent << " sent, " << received << " received";
  ASSERT_EQ(run("unetmap unplug valeG:a && unetmap unplug valeG:b"), 0) << said;
}

// A full guest holds its senders, where its port is lossless, and whatever was taken arrives; else it loses what comes.
TEST_F(PassthroughTest, AFullGuestHoldsItsSenders) {
  auto vm = guest();
  ASSERT_TRUE(vm->open());
  exchange(*vm);
  ASSERT_EQ(run("unetmap set " + name + " lossless on"), 0) << said;
  nmport_d* sender = flows::open_port("valeP:sender");
  ASSERT_TRUE(sender);
  netmap_ring* ring = NETMAP_TXRING(sender->nifp, 0);
  constexpr uint32_t kPackets = 3000;
  uint32_t put = 0;
  const auto fill = [&] {
    for (; put < kPackets && !nm_ring_empty(ring); put++) {
      const Bytes frame = frame_of(put, 60 + put % 3, 9);
      netmap_slot& slot = ring->slot[ring->head];
      memcpy(NETMAP_BUF(ring, slot.buf_idx), frame.data(), frame.size());
      slot.len = uint16_t(frame.size());
      slot.flags = 0;
      ring->head = ring->cur = nm_ring_next(ring, ring->head);
    }
    return ioctl(sender->fd, NIOCTXSYNC, nullptr) == 0;
  };
  // Until nothing goes any more: the guest has looked at none of them.
  uint32_t before = UINT32_MAX;
  ASSERT_TRUE(flows::eventually([&] {
    const bool still = fill() && std::exchange(before, ring->tail) == ring->tail;
    usleep(1000);
    return still && status_of(name, "rx_packets") >= TestMachine::kSlots - 1;
  }));
  EXPECT_LT(put, kPackets);
  uint32_t received = 0;
  ASSERT_TRUE(flows::eventually([&] {
    (void)fill();
    for (const Bytes& got : vm->receive()) {
      if (got != frame_of(received, 60 + received % 3, 9)) return ADD_FAILURE() << received, true;
      received++;
    }
    return received == kPackets;
  })) << put << " put, " << received << " received";
  EXPECT_EQ(counter_of(name, "rx", "lost_full"), 0u);
  nmport_close(sender);
}

// The other way: what a guest sends to a full lossless port stays in its ring, and its slots stay the host's.
TEST_F(PassthroughTest, AFullPortHoldsTheGuest) {
  ASSERT_EQ(run("unetmap set valeP:peer lossless on"), 0) << said;
  auto vm = guest();
  ASSERT_TRUE(vm->open());
  constexpr uint32_t kPackets = 4000;
  uint32_t sent = 0, received = 0;
  uint64_t before = 0;
  ASSERT_TRUE(flows::eventually([&] {
    while (sent < kPackets && vm->send(frame_of(sent, 60 + sent % 2000, 3))) sent++;
    usleep(2000);
    const uint64_t now = counter_of(name, "tx", "packets");
    return now > 0 && std::exchange(before, now) == now;
  }));
  ASSERT_LT(sent, kPackets);
  ASSERT_TRUE(flows::eventually([&] {
    while (sent < kPackets && vm->send(frame_of(sent, 60 + sent % 2000, 3))) sent++;
    (void)vm->sent();
    for (Bytes got = peer->receive(0); !got.empty(); got = peer->receive(0)) {
      if (got != frame_of(received, 60 + received % 2000, 3)) return ADD_FAILURE() << received, true;
      received++;
    }
    return received == kPackets;
  })) << sent << " sent, " << received << " received";
}

TEST(Passthrough, EachPairOfRingsWorks) {
  const std::string path = scratch() + "/rings";
  ASSERT_EQ(run("unetmap plug valeR:a --slots 64 --rings 3 --passthrough " + path), 0) << said;
  const std::string second = scratch() + "/rings2";
  ASSERT_EQ(run("unetmap plug valeR:b --slots 64 --rings 3 --passthrough " + second), 0) << said;
  Guest vm(path), other(second);
  ASSERT_TRUE(vm.connect() && other.connect() && vm.open() && other.open());
  ASSERT_EQ(vm.pairs(), 3u);
  ASSERT_EQ(status_of("valeR:a", "rings"), 3u);
  Port peer("valeR:peer");
  ASSERT_TRUE(peer);
  for (uint32_t round = 0; round < 30; round++)
    for (uint32_t pair = 0; pair < 3; pair++) {
      vm.use(pair);
      other.use(pair);
      // To everybody, by the switch; then straight, in the same way. Rings of one number belong together.
      const Bytes all = frame_of(round, 60 + pair, 1), back = frame_of(round, 70 + pair, 2);
      ASSERT_TRUE(vm.send(all));
      ASSERT_EQ(peer.receive(), all);
      ASSERT_EQ(other.await(), all);
      ASSERT_TRUE(other.send(back));
      ASSERT_EQ(peer.receive(), back);
      ASSERT_EQ(vm.await(), back);
      ASSERT_TRUE(vm.send(between(round, 80 + pair, 1, 2)));
      ASSERT_EQ(other.await(), between(round, 80 + pair, 1, 2));
    }
  // A full ring does not stop the others.
  vm.use(0);
  other.use(0);
  for (uint32_t i = 0; i < 3 * TestMachine::kSlots; i++) {
    ASSERT_TRUE(flows::eventually([&] { return vm.send(between(i, 60, 1, 2)); }));
    (void)vm.sent();
  }
  vm.use(2);
  other.use(2);
  for (uint32_t i = 0; i < 100; i++) {
    ASSERT_TRUE(vm.send(between(i, 90, 1, 2)));
    ASSERT_EQ(other.await(), between(i, 90, 1, 2));
  }
  ASSERT_EQ(run("unetmap unplug valeR:a && unetmap unplug valeR:b"), 0) << said;
  EXPECT_EQ(run("unetmap plug valeR:c --rings 9 --passthrough " + path), 1);
  EXPECT_NE(said.find("at most 8 pairs"), std::string::npos) << said;
}

// What a guest has said of a packet when it was judged is what arrives: a fence lets nothing else through.
TEST_F(PassthroughTest, AFenceIsKeptAlsoByAGuestThatChangesItsPackets) {
  auto vm = guest();
  ASSERT_TRUE(vm->open());
  exchange(*vm);
  ASSERT_EQ(run("unetmap set " + name + " mac 02:50:00:00:00:01"), 0) << said;
  while (!peer->receive(100).empty()) {
  }
  std::atomic<bool> over{false};
  std::thread flipper([&] {
    // Of all buffers that packets are sent from: the last byte of the source address.
    uint8_t* buffers = vm->memory() + passthrough::Layout{TestMachine::kSlots}.buffer(passthrough::kFirstBuffer);
    for (uint8_t i = 0; !over; i++)
      for (uint32_t b = 0; b < TestMachine::kSlots; b++)
        __atomic_store_n(buffers + b * passthrough::kBufferBytes + 11, uint8_t(i & 1 ? 1 : 0x66), __ATOMIC_RELAXED);
  });
  uint32_t arrived = 0, sent = 0;
  EXPECT_TRUE(flows::eventually([&] {
    for (int i = 0; i < 40 && vm->send(frame_of(7, 60, 1)); i++) sent++;
    (void)vm->sent();
    for (Bytes got = peer->receive(0); !got.empty(); got = peer->receive(0)) {
      arrived++;
      EXPECT_EQ(got[11], 1);
    }
    return sent > 2000 && arrived > 200;
  }));
  over = true;
  flipper.join();
  EXPECT_GT(counter_of(name, "tx", "lost_spoofed"), 0u);
}

class PassedPipe : public testing::Test {
 protected:
  static void exchange(const std::function<bool(const Bytes&)>& put, const std::function<Bytes()>& get) {
    for (uint32_t number = 0; number < 200; number++) {
      const Bytes frame = frame_of(number, 14 + number * 37 % 2000, 1, number % 2);
      ASSERT_TRUE(put(frame)) << number;
      ASSERT_EQ(get(), frame) << number;
    }
  }
};

TEST_F(PassedPipe, JoinsAGuestAndAProgram) {
  const std::string path = scratch() + "/pipe";
  ASSERT_EQ(run("unetmap plug 'valeT:x}1' --slots 64 --passthrough " + path), 0) << said;
  Guest vm(path);
  ASSERT_TRUE(vm.connect() && vm.open());
  {
    Port end("valeT:x{1"), bystander("valeT:y");
    ASSERT_TRUE(end && bystander);
    exchange([&](auto& frame) { return vm.send(frame); }, [&] { return end.receive(); });
    exchange([&](auto& frame) { return end.send(frame); }, [&] { return vm.await(); });
    EXPECT_TRUE(bystander.receive(100).empty()) << "a pipe is no part of the switch";
    EXPECT_EQ(run("unetmap plug 'valeT:x{1' --passthrough " + scratch() + "/taken"), 1);
    EXPECT_NE(said.find("is open already"), std::string::npos) << said;
  }
  // The program came to its end; the next one goes on.
  Port end("valeT:x{1");
  ASSERT_TRUE(end);
  exchange([&](auto& frame) { return vm.send(frame); }, [&] { return end.receive(); });
  EXPECT_EQ(run("unetmap unplug 'valeT:x}1'"), 0) << said;
  EXPECT_TRUE(vm.closed());
}

TEST_F(PassedPipe, JoinsTwoGuests) {
  const std::string a = scratch() + "/pipe-a", b = scratch() + "/pipe-b";
  ASSERT_EQ(run("unetmap plug 'valeU:x{1' --slots 64 --passthrough " + a), 0) << said;
  ASSERT_EQ(run("unetmap plug 'valeU:x}1' --slots 64 --passthrough " + b), 0) << said;
  Guest one(a), other(b);
  ASSERT_TRUE(one.connect() && other.connect() && one.open() && other.open());
  exchange([&](auto& frame) { return one.send(frame); }, [&] { return other.await(); });
  exchange([&](auto& frame) { return other.send(frame); }, [&] { return one.await(); });
  // A full one holds its sender.
  constexpr uint32_t kPackets = 3000;
  uint32_t sent = 0, received = 0;
  ASSERT_TRUE(flows::eventually([&] {
    for (uint32_t i = 0; i < 2 * TestMachine::kSlots && sent < kPackets && one.send(frame_of(sent, 60)); i++) sent++;
    (void)one.sent();
    for (const Bytes& got : other.receive()) {
      if (got != frame_of(received, 60)) return ADD_FAILURE() << received, true;
      received++;
    }
    return received == kPackets;
  })) << sent << " sent, " << received << " received";
  EXPECT_EQ(run("unetmap unplug 'valeU:x{1' && unetmap unplug 'valeU:x}1'"), 0) << said;
}

TEST(Passthrough, WhatItCannotBeIsSaid) {
  EXPECT_EQ(run("unetmap plug valeQ:b --client --passthrough " + scratch() + "/b"), 1);
  EXPECT_NE(said.find("QEMU is the one that connects"), std::string::npos) << said;
  EXPECT_EQ(run("unetmap plug 'valeQ:b{1' --stream " + scratch() + "/b"), 1);
  EXPECT_NE(said.find("is no port of a switch"), std::string::npos) << said;
}

}  // namespace
