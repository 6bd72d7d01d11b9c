// SPDX-License-Identifier: BSD-2-Clause
// Lifetimes, what happens when clients die, limits, queries.
#include "daemon/registry/registry_test.hh"

#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>

#include "base/json.hh"
#include "base/lock_holder.hh"
#include "daemon/process/privileges.hh"
#include "vale/fdb.hh"

namespace unetmap::daemon {
namespace {

class Lifetimes : public RegistryTest {
 protected:
  static bool rang(const File& file) {
    eventfd_t value = 0;
    return eventfd_read(file.doorbell.get(), &value) == 0;
  }
  Json query(const std::string& question) {
    auto answer = registry_.query(question);
    EXPECT_TRUE(answer.has_value()) << answer.error().text;
    return answer ? parse_json(*answer) : Json();
  }
  int query_error(const std::string& question) {
    auto answer = registry_.query(question);
    return answer ? 0 : answer.error().code;
  }
};

TEST_F(Lifetimes, ASwitchTellsWhoIsThere) {
  File *a = open("vale0:a"), *b = open("vale0:b"), *c = open("vale0:c");
  SwitchShared& shared = a->port->sw->shared();
  EXPECT_EQ(shared.flood_count, 3u);
  EXPECT_EQ(shared.port_limit, 3u);
  EXPECT_NE(shared.fdb_seed, 0u);
  EXPECT_EQ(shared.fdb_age_s, 300u);
  wire::PortInfo info = bind_info(*b).port;
  EXPECT_EQ(info.index, 1);
  EXPECT_EQ(shared.port[1].generation, info.generation);
  EXPECT_EQ(info.generation & 1, 1u);
  EXPECT_EQ(shared.port[1].rx_rings, 1);
  uint32_t topology = shared.topology;
  shared.port[1].tx_seq[0] = 7;  // killed while sending
  close(b);
  EXPECT_NE(shared.topology, topology);
  EXPECT_EQ(shared.port[1].generation & 1, 0u);
  EXPECT_EQ(shared.flood_count, 2u);
  EXPECT_EQ(shared.flood[0], 0);
  EXPECT_EQ(shared.flood[1], 2);
  File* again = open("vale0:b");
  wire::PortInfo fresh = bind_info(*again).port;
  EXPECT_EQ(fresh.index, 1);
  EXPECT_NE(fresh.generation, info.generation);
  EXPECT_EQ(shared.port[1].tx_seq[0], 0u);
  EXPECT_FALSE(registry_.files().resolve(*a, {info.generation, 1, 0}).has_value());
  EXPECT_TRUE(registry_.files().resolve(*a, {fresh.generation, 1, 0}).has_value());
  close(a);
  close(c);
  EXPECT_EQ(shared.port_limit, 2u);
  close(again);
}

TEST_F(Lifetimes, GenerationsOfASwitchNeverRepeat) {
  File* keeper = open("vale0:keeper");
  std::set<uint32_t> seen = {bind_info(*keeper).port.generation};
  for (int i = 0; i < 50; i++) {
    File* file = open("vale0:x");
    EXPECT_TRUE(seen.insert(bind_info(*file).port.generation).second);
    close(file);
  }
  close(keeper);
}

TEST_F(Lifetimes, AKilledSendersDestinationsAreRepaired) {
  File *dead = open("vale0:dead"), *to = open("vale0:to"), *untouched = open("vale0:other");
  File* monitor = open("vale0:dead", NR_REG_ALL_NIC, NR_MONITOR_TX);
  wire::PortInfo info = bind_info(*to).port;
  Memory memory = map(*to), other = map(*untouched), seen = map(*monitor);
  ASSERT_TRUE(registry_.files().resolve(*dead, {info.generation, info.index, 0}).has_value());
  close(dead, false);
  registry_.files().settle();
  EXPECT_NE(memory.rx_exchange(0).reset_wanted, 0u);
  EXPECT_NE(seen.rx_exchange(0).reset_wanted, 0u);
  EXPECT_EQ(other.rx_exchange(0).reset_wanted, 0u);
  EXPECT_TRUE(rang(*to));
  EXPECT_TRUE(rang(*monitor));
  EXPECT_FALSE(rang(*untouched));
  close(to);
  close(monitor);
  close(untouched);
}

TEST_F(Lifetimes, AnAuditedFileLivesOn) {
  File *sender = open("vale0:s"), *to = open("vale0:to");
  wire::PortInfo info = bind_info(*to).port;
  ASSERT_TRUE(registry_.files().resolve(*sender, {info.generation, info.index, 0}).has_value());
  registry_.files().audit(*sender);
  registry_.files().settle();
  EXPECT_NE(map(*to).rx_exchange(0).reset_wanted, 0u);
  EXPECT_NE(map(*sender).rx_exchange(0).reset_wanted, 0u);
  EXPECT_TRUE(registry_.ports().find("vale0:s"));
  close(sender);
  close(to);
}

TEST_F(Lifetimes, WhoSaysGoodbyeLeavesNothingToRepair) {
  File *sender = open("vale0:s"), *to = open("vale0:to");
  wire::PortInfo info = bind_info(*to).port;
  ASSERT_TRUE(registry_.files().resolve(*sender, {info.generation, info.index, 0}).has_value());
  close(sender, true);
  registry_.files().settle();
  EXPECT_EQ(map(*to).rx_exchange(0).reset_wanted, 0u);
  EXPECT_FALSE(rang(*to));
  close(to);
}

TEST_F(Lifetimes, WhatAVandalWroteIsRestored) {
  File *vandal = open("vale0:v"), *a = open("vale0:a"), *b = open("vale0:b");
  File* gone = open("vale0:gone");
  close(gone);
  nmreq_port_hdr header{12, 0};
  EXPECT_EQ(ask(NETMAP_REQ_PORT_HDR_SET, "vale0:b", header), 0);
  SwitchShared& shared = a->port->sw->shared();
  wire::PortInfo info = bind_info(*b).port;
  uint64_t seed = shared.fdb_seed;
  memset(reinterpret_cast<uint8_t*>(&shared), 0xff, offsetof(SwitchShared, port) + 8 * sizeof(PortEntry));
  shared.port[20000].generation = 77;
  close(vandal, false);
  registry_.files().settle();
  EXPECT_EQ(shared.port[20000].generation, 0u);
  // They had nothing to do with the vandal, but what they saw of the switch may have put them to sleep.
  EXPECT_TRUE(rang(*a));
  EXPECT_TRUE(rang(*b));
  EXPECT_EQ(shared.fdb_seed, seed);
  EXPECT_EQ(shared.flood_count, 2u);
  EXPECT_EQ(shared.port_limit, 3u);
  EXPECT_EQ(shared.lossless_ports, 0u);
  EXPECT_EQ(shared.flood[0], 2);
  EXPECT_EQ(shared.flood[1], 1);
  EXPECT_EQ(shared.port[info.index].generation, info.generation);
  EXPECT_EQ(shared.port[info.index].header_len, 12);
  EXPECT_EQ(shared.port[info.index].flags, uint32_t{kPortFlood});
  EXPECT_EQ(shared.port[info.index].monitors[3], 0);
  EXPECT_EQ(shared.port[0].generation & 1, 0u);
  EXPECT_EQ(shared.port[3].generation & 1, 0u);  // the one that was gone before
  close(a);
  close(b);
}

TEST_F(Lifetimes, AddressesOutliveAnHonestProgramButNotAVandal) {
  File *a = open("vale0:a"), *b = open("vale0:b");
  SwitchShared& shared = a->port->sw->shared();
  wire::PortInfo info = bind_info(*b).port;
  vale::Fdb fdb(&shared);
  auto learn = [&] { fdb.learn(0x222222222202, info.index, info.generation, 1000); };
  auto known = [&] { return fdb.lookup(0x222222222202, 1000) == info.index; };
  auto lose_one = [&](auto&& garble) {
    File* dead = open("vale0:dead");
    learn();
    EXPECT_TRUE(known());
    garble();
    close(dead, false);
    registry_.files().settle();
  };
  lose_one([] {});
  EXPECT_TRUE(known());
  // Something else in the switch, or in the table itself.
  lose_one([&] { shared.fdb_age_s = 5; });
  EXPECT_FALSE(known());
  lose_one([&] { shared.fdb[77].key[3] = 5; });
  EXPECT_FALSE(known());
  EXPECT_EQ(shared.fdb[77].key[3], 0u);
  lose_one([] {});
  EXPECT_TRUE(known());
  for (File* file : {a, b}) close(file);
}

TEST_F(Lifetimes, AVandalCannotForestallARepair) {
  File *vandal = open("vale0:v"), *to = open("vale0:to");
  SwitchShared& shared = to->port->sw->shared();
  wire::PortInfo info = bind_info(*to).port;
  Memory memory = map(*to);
  RxExchange& exchange = memory.rx_exchange(0);
  std::set<uint32_t> resets = {0}, topologies = {shared.topology};
  for (int i = 0; i < 20; i++) {
    ASSERT_TRUE(registry_.files().resolve(*vandal, {info.generation, info.index, 0}).has_value());
    // What would come next, if these were just counted.
    exchange.reset_wanted++;
    shared.topology += 2;
    resets.insert(exchange.reset_wanted);
    topologies.insert(shared.topology);
    close(vandal, false);
    registry_.files().settle();
    EXPECT_TRUE(resets.insert(exchange.reset_wanted).second);
    EXPECT_TRUE(topologies.insert(shared.topology).second);
    vandal = open("vale0:v");
  }
  close(vandal);
  close(to);
}

// The lock of one who was killed in a sync stays until the next one of that ring, which others that have the port need never make;
// who resets a ring that he sent to would wait for him, and get nothing back that he may have had.
TEST_F(Lifetimes, NobodyWaitsForASenderThatWasKilled) {
  File *stays = open("vale0:a"), *killed = open("vale0:a");
  Memory memory = map(*stays);
  const wire::PortInfo info = bind_info(*stays).port;
  auto& kring = *reinterpret_cast<TxKring*>(memory.privates.data() + info.tx_kring_ofs);
  auto& seq = stays->port->sw->shared().port[info.index].tx_seq[0];
  const pid_t child = fork();
  if (child == 0) _exit(0);
  siginfo_t ended;
  ASSERT_EQ(waitid(P_PID, id_t(child), &ended, WEXITED | WNOWAIT), 0);
  auto settled_with = [&](uint64_t holder) {
    kring.lock = holder;
    seq = 7;
    close(killed, false);
    registry_.files().settle();
    killed = open("vale0:a");
    return seq == 8u;
  };
  const uint64_t own = lock_holder_word(), here = own & ~uint64_t{UINT32_MAX};
  EXPECT_FALSE(settled_with(own)) << "one who lives may really be inside";
  EXPECT_TRUE(settled_with(here | uint32_t(child)));
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(settled_with(here | uint32_t(child)));
  EXPECT_FALSE(settled_with((here ^ uint64_t{2} << 32) | uint32_t(child))) << "of another namespace";
  kring.lock = 0;
  close(killed);
  close(stays);
}

TEST_F(Lifetimes, WaitListsThatAVandalCouldWriteAreMadeAnew) {
  File *vandal = open("vale0:v"), *to = open("vale0:to"), *sender = open("vale0:s");
  wire::PortInfo info = bind_info(*to).port;
  Memory memory = map(*to);
  RxExchange& exchange = memory.rx_exchange(0);
  for (File* file : {vandal, sender})
    ASSERT_TRUE(registry_.files().resolve(*file, {info.generation, info.index, 0}).has_value());
  for (WaitList* list : {&exchange.readers, &exchange.writers}) {
    list->any = list->overflow = 5;
    for (auto& file : list->file) file = 1234567;
  }
  close(vandal, false);
  registry_.files().settle();
  for (WaitList* list : {&exchange.readers, &exchange.writers}) {
    EXPECT_EQ(list->any | list->overflow, 0u);
    for (auto& file : list->file) EXPECT_EQ(file, 0u);
  }
  // Who had been on them enters again.
  EXPECT_TRUE(rang(*to));
  EXPECT_TRUE(rang(*sender));
  close(to);
  close(sender);
}

TEST_F(Lifetimes, APortThatRingsForItselfHasRoomForItsSenders) {
  File *to = open("vale0:to"), *sender = open("vale0:s"), *other = open("vale0:o");
  wire::PortInfo info = bind_info(*to).port;
  ASSERT_TRUE(registry_.files().resolve(*sender, {info.generation, info.index, 0}).has_value());
  registry_.files().ring(*to, {info.generation, info.index, 0});
  EXPECT_TRUE(rang(*sender));
  EXPECT_FALSE(rang(*other));
  registry_.files().ring(*other, {info.generation, info.index, 0});
  EXPECT_FALSE(rang(*sender));
  for (File* file : {to, sender, other}) close(file);
}

TEST_F(Lifetimes, APipesEndThatRingsForItselfHasRoomForTheOther) {
  File *near = open("vale0:p{1"), *far = open("vale0:p}1"), *other = open("vale0:p{2");
  wire::PortInfo info = bind_info(*near).port;
  registry_.files().ring(*near, {info.generation, info.index, 0});
  EXPECT_TRUE(rang(*far));
  EXPECT_FALSE(rang(*other));
  for (File* file : {near, far, other}) close(file);
}

// It may have shown packets, or given room back, and died before it rang.
TEST_F(Lifetimes, WhoDiesAtOneEndOfAPipeWakesTheOther) {
  File *near = open("vale0:p{1"), *far = open("vale0:p}1");
  close(near, false);
  registry_.files().settle();
  EXPECT_TRUE(rang(*far));
  near = open("vale0:p{1");
  close(near, true);
  registry_.files().settle();
  EXPECT_FALSE(rang(*far));
  close(far);
}

TEST_F(Lifetimes, DoorbellsAreForTheSameSwitch) {
  File *a = open("vale0:a"), *b = open("vale0:b"), *far = open("vale1:b"), *unbound = registry_.files().open(1);
  EXPECT_TRUE(registry_.files().doorbell(*a, b->id).has_value());
  EXPECT_FALSE(registry_.files().doorbell(*a, far->id).has_value());
  EXPECT_FALSE(registry_.files().doorbell(*a, unbound->id).has_value());
  EXPECT_FALSE(registry_.files().doorbell(*unbound, a->id).has_value());
  EXPECT_FALSE(registry_.files().doorbell(*a, 123456).has_value());
  EXPECT_EQ(registry_.files().resolve(*unbound, {1, 0, 0}).error().code, EACCES);
  File* second = open("vale0:b");
  wire::PortInfo info = bind_info(*b).port;
  registry_.files().ring(*a, {info.generation, info.index, 0});
  EXPECT_TRUE(rang(*b));
  EXPECT_TRUE(rang(*second));
  EXPECT_FALSE(rang(*a));
  registry_.files().ring(*a, {info.generation + 2, info.index, 0});
  registry_.files().ring(*unbound, {info.generation, info.index, 0});
  EXPECT_FALSE(rang(*b));
  for (File* file : {a, b, far, second, unbound}) close(file);
}

TEST_F(Lifetimes, MemoryComesBackWhileOthersStillMapIt) {
  File* file = open("vale0:a");
  Memory memory = map(*file);
  int exchange = dup(bind_fds(*file)[wire::kExchangeFd]), privates = dup(bind_fds(*file)[wire::kPrivateFd]);
  memset(memory.buffer(2), 1, 1 << 20);
  EXPECT_GE(allocated_bytes(exchange), 1u << 20);
  close(file);
  EXPECT_EQ(allocated_bytes(exchange), 0u);
  EXPECT_EQ(allocated_bytes(privates), 0u);
  ::close(exchange);
  ::close(privates);
}

TEST_F(Lifetimes, PartsOfASharedRegionAreCleanWhenUsedAgain) {
  File* parent = open("vale0:p");
  File* pipe = open("vale0:p{1");
  uint32_t free_buffers = parent->port->region->free_buffers();
  uint64_t at = bind_info(*pipe).port.tx_ring_ofs;
  Memory memory = map(*pipe);
  for (bool rx : {false, true}) memory.ring(rx, 0)->head = memory.ring(rx, 0)->cur = 77;
  memset(memory.privates.data() + memory.info.port.tx_kring_ofs, 0xee, sizeof(TxKring));
  memset(memory.privates.data() + memory.info.port.rx_kring_ofs, 0xee, sizeof(RxKring));
  close(pipe);
  pipe = open("vale0:p{1");
  EXPECT_EQ(bind_info(*pipe).port.tx_ring_ofs, at);
  EXPECT_EQ(parent->port->region->free_buffers(), free_buffers);
  memory = map(*pipe);
  EXPECT_EQ(memory.ring(true, 0)->head, 0u);
  auto* kring = reinterpret_cast<RxKring*>(memory.privates.data() + memory.info.port.rx_kring_ofs);
  EXPECT_EQ(kring->lock, 0u);
  EXPECT_EQ(kring->packets, 0u);
  close(pipe);
  close(parent);
}

TEST_F(Lifetimes, FourThousandPortsOnASwitchAreCheap) {
  constexpr int kPorts = 4096;
  constexpr uint64_t kBudget = 64 << 10;
  ASSERT_TRUE(raise_limits());
  if (sysconf(_SC_OPEN_MAX) < 4 * kPorts) GTEST_SKIP() << "the limit of open files is below " << 4 * kPorts;
  std::vector<File*> files;
  for (int i = 0; i < kPorts; i++) files.push_back(open("vale0:p" + std::to_string(i)));
  EXPECT_EQ(registry_.ports().switches().size(), 1u);
  EXPECT_EQ(files[0]->port->sw->shared().flood_count, uint32_t{kPorts});
  uint64_t bytes = allocated_bytes(files[0]->port->sw->fd());
  for (File* file : files) {
    auto fds = bind_fds(*file);
    bytes += allocated_bytes(fds[wire::kPrivateFd]) + allocated_bytes(fds[wire::kExchangeFd]);
  }
  EXPECT_LT(bytes / kPorts, kBudget);
  RecordProperty("bytes_per_port", int(bytes / kPorts));
  for (File* file : files) close(file);
  EXPECT_TRUE(registry_.idle());
}

TEST_F(Lifetimes, TwoHundredFiftySixSwitches) {
  std::vector<File*> files;
  for (uint32_t i = 0; i < Ports::kMaxSwitches; i++) files.push_back(open("vale" + std::to_string(i) + ":1"));
  EXPECT_EQ(refusal("vale_one_more:1"), ENOMEM);
  EXPECT_EQ(refusal("vale7:2"), 0);
  close(files.back());
  files.pop_back();
  EXPECT_EQ(refusal("vale_one_more:1"), 0);
  for (File* file : files) close(file);
  EXPECT_EQ(registry_.ports().switches().size(), 0u);
}

TEST_F(Lifetimes, QueriesTellWhatIsThere) {
  File *a = open("vale0:a"), *b = open("vale0:b"), *monitor = open("vale0:a", NR_REG_ALL_NIC, NR_MONITOR_RX);
  Json ports = query(R"({"what":"ports"})")["ports"];
  ASSERT_EQ(ports.size(), 3u);
  EXPECT_EQ(ports[0]["name"], "vale0:a");
  EXPECT_EQ(ports[0]["kind"], "vale");
  EXPECT_EQ(ports[0]["monitors"][0], ports[1]["name"]);
  EXPECT_EQ(ports[1]["kind"], "monitor");
  EXPECT_EQ(ports[0]["files"][0]["file"], a->id);
  EXPECT_EQ(ports[0]["lossless"], false);
  EXPECT_TRUE(registry_.set(R"({"port":"vale0:a","lossless":true})").has_value());
  EXPECT_EQ(query(R"({"what":"ports"})")["ports"][0]["lossless"], true);
  EXPECT_EQ(a->port->sw->shared().lossless_ports, 1u);
  EXPECT_EQ(registry_.set(R"({"port":"none","lossless":true})").error().code, ENXIO);
  EXPECT_TRUE(registry_.set(R"({"port":"eth0","nic_mode":"generic"})").has_value());
  EXPECT_TRUE(registry_.set(R"({"port":"eth0","nic_mode":null})").has_value());
  EXPECT_EQ(registry_.set(R"({"port":"eth0","nic_mode":"fast"})").error().code, EINVAL);
  EXPECT_EQ(registry_.set(R"({"port":"eth0","nic_mode":7})").error().code, EINVAL);
  EXPECT_EQ(registry_.set(R"({"port":"vale0:a","nic_mode":"generic"})").error().code, EINVAL);
  EXPECT_EQ(registry_.set(R"({"port":"eth0","nic_mode":"generic","lossless":true})").error().code, EINVAL);
  EXPECT_EQ(registry_.set(R"({"port":"eth0","nic_mode":"driver"})").error().code, EPERM) << "rights that it has not";
  EXPECT_EQ(registry_.set(R"({"port":"vale0:a"})").error().code, EINVAL);
  EXPECT_EQ(registry_.set(R"([])").error().code, EINVAL);

  Memory memory = map(*a);
  auto* kring = reinterpret_cast<TxKring*>(memory.privates.data() + memory.info.port.tx_kring_ofs);
  kring->packets = 5;
  kring->lost_noport = 2;
  memory.rx_exchange(0).lost_full = 9;
  Json stats = query(R"({"what":"stats","port":"vale0:a"})")["ports"];
  ASSERT_EQ(stats.size(), 1u);
  EXPECT_EQ(stats[0]["tx"]["packets"], 5);
  EXPECT_EQ(stats[0]["tx"]["lost_noport"], 2);
  EXPECT_EQ(stats[0]["rx"]["lost_full"], 9);
  EXPECT_EQ(stats[0]["rx"]["rings"][0]["lost_full"], 9);
  EXPECT_EQ(query(R"({"what":"stats"})")["ports"].size(), 3u);
  EXPECT_EQ(query_error(R"({"what":"stats","port":"nosuch"})"), ENXIO);

  timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  vale::Fdb(&a->port->sw->shared())
      .learn(0x0605040302'02, b->port->info.index, b->port->info.generation, uint32_t(now.tv_sec));
  Json fdb = query(R"({"what":"fdb","switch":"vale0"})");
  ASSERT_EQ(fdb["entries"].size(), 1u);
  EXPECT_EQ(fdb["entries"][0]["mac"], "02:02:03:04:05:06");
  EXPECT_EQ(fdb["entries"][0]["port"], "vale0:b");
  EXPECT_EQ(query_error(R"({"what":"fdb","switch":"vale9"})"), ENXIO);
  EXPECT_EQ(query(R"({"what":"daemon"})")["ports"], 3);
  for (const char* bad : {"", "x", "[]", "{}", R"({"what":5})", R"({"what":"weather"})"})
    EXPECT_EQ(query_error(bad), EINVAL) << bad;
  for (File* file : {a, b, monitor}) close(file);
}

}  // namespace
}  // namespace unetmap::daemon
