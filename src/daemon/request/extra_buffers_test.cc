// SPDX-License-Identifier: BSD-2-Clause
// NETMAP_REQ_REGISTER of extra buffers: lists that programs get, and what comes back of them.
#include <fcntl.h>

#include <ctime>
#include <set>

#include "daemon/registry/registry_test.hh"
#include "ring/extra_run.hh"
#include "vale/receive.hh"

namespace unetmap::daemon {
namespace {

using ExtraBuffersTest = RegistryTest;

// What the kernel takes long for is done by another thread, and done.
TEST_F(ExtraBuffersTest, MuchMemoryIsFreedAside) {
  constexpr uint32_t kExtra = 65536;
  auto cpu_ns = [] {
    timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return uint64_t(now.tv_sec) * 1'000'000'000 + uint64_t(now.tv_nsec);
  };
  auto request = register_request("vale0:1");
  auto body = request.body_as<nmreq_register>();
  body.nr_extra_bufs = kExtra;
  request.set_body(body);
  File* file = open(request);
  Memory memory = map(*file);
  const wire::RegionInfo region = memory.info.region;
  auto fill = [&](uint8_t* bufs) {
    for (uint64_t i = 0; i < region.nbufs; i++) bufs[i * region.buf_size] = 1;
  };
  uint8_t* const bufs = memory.buffer(0);
  fill(bufs);
  uint64_t before = cpu_ns();
  close(file);
  const uint64_t closing = cpu_ns() - before;
  auto alike = mem::create("unetmap-alike", uint64_t{region.nbufs} * region.buf_size);
  ASSERT_TRUE(alike);
  auto mapped = mem::Mapping::map(alike->get(), uint64_t{region.nbufs} * region.buf_size);
  ASSERT_TRUE(mapped);
  fill(mapped->data());
  before = cpu_ns();
  ASSERT_EQ(fallocate(alike->get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                      off_t(uint64_t{region.nbufs} * region.buf_size)),
            0);
  EXPECT_LT(closing, (cpu_ns() - before) / 2);
  auto freed = [&] {
    for (uint64_t i = 0; i < region.nbufs; i += 100)
      if (bufs[i * region.buf_size] != 0) return false;
    return true;
  };
  for (int i = 0; i < 2000 && !freed(); i++) usleep(10'000);
  EXPECT_TRUE(freed()) << "although it is mapped";
}

TEST_F(ExtraBuffersTest, ExtraBuffersAreAListAndComeBack) {
  auto request = register_request("vale0:1");
  auto body = request.body_as<nmreq_register>();
  body.nr_mem_id = kGlobalRegion;
  request.set_body(body);
  File* keeper = open(request);
  Region& region = *keeper->port->region;
  uint32_t free_before = region.free_buffers();
  request = register_request("vale0:2");
  body.nr_extra_bufs = 100;
  request.set_body(body);
  File* file = open(request);
  EXPECT_EQ(request.body_as<nmreq_register>().nr_extra_bufs, 100u);
  EXPECT_EQ(region.free_buffers(), free_before - 2048 - 100);
  Memory memory = map(*file);
  EXPECT_EQ(memory.nifp()->ni_flags, 0u);
  const uint32_t head = memory.nifp()->ni_bufs_head;
  link_extra_buffers(memory.buffer(0), region.info().buf_size, region.info().nbufs, head, 100);
  std::vector<uint32_t> list;
  for (uint32_t at = memory.nifp()->ni_bufs_head; at; memcpy(&at, memory.buffer(at), 4)) list.push_back(at);
  ASSERT_EQ(list.size(), 100u);
  // The application swaps an extra buffer into its ring, and hands the ring's back in the list.
  netmap_slot& slot = memory.ring(false, 0)->slot[5];
  uint32_t taken_out = slot.buf_idx;
  slot.buf_idx = list[0];
  memcpy(memory.buffer(taken_out), &list[1], 4);
  memory.nifp()->ni_bufs_head = taken_out;
  close(file);
  EXPECT_EQ(region.free_buffers(), free_before);
  // Killed before its library made the list of them; of rows of all lengths.
  std::vector<uint32_t> gaps;
  for (uint32_t i = 0; i < 20; i++) gaps.push_back(region.take_buffers(5));
  for (uint32_t i = 0; i < 20; i += 2) region.give_buffer(gaps[i] + 2);
  const uint32_t free_among = region.free_buffers();
  body.nr_extra_bufs = free_among - 2048 - 5;
  request.set_body(body);
  file = open(request);
  EXPECT_EQ(request.body_as<nmreq_register>().nr_extra_bufs, free_among - 2048 - 5);
  EXPECT_EQ(region.free_buffers(), 5u);
  close(file);
  EXPECT_EQ(region.free_buffers(), free_among);
  // And with a list of all of those.
  file = open(request);
  {
    Memory all = map(*file);
    link_extra_buffers(all.buffer(0), region.info().buf_size, region.info().nbufs, all.nifp()->ni_bufs_head,
                       free_among - 2048 - 5);
    std::set<uint32_t> seen;
    for (uint32_t at = all.nifp()->ni_bufs_head; at && seen.insert(at).second; memcpy(&at, all.buffer(at), 4)) {
    }
    EXPECT_EQ(seen.size(), free_among - 2048 - 5);
  }
  close(file);
  EXPECT_EQ(region.free_buffers(), free_among);
  close(keeper);
}

TEST_F(ExtraBuffersTest, ListsThatLieDoNoHarm) {
  auto in_global = [&](const char* name, uint32_t extra) {
    auto request = register_request(name);
    auto body = request.body_as<nmreq_register>();
    body.nr_mem_id = kGlobalRegion;
    body.nr_extra_bufs = extra;
    request.set_body(body);
    return open(request);
  };
  File *keeper = in_global("vale0:1", 0), *file = in_global("vale0:2", 4);
  Region& region = *keeper->port->region;
  uint32_t free_now = region.free_buffers();
  Memory memory = map(*file), other = map(*keeper);
  // Into another port's ring, then round in a circle.
  link_extra_buffers(memory.buffer(0), region.info().buf_size, region.info().nbufs, memory.nifp()->ni_bufs_head, 4);
  uint32_t head = memory.nifp()->ni_bufs_head, stolen = other.ring(false, 0)->slot[3].buf_idx;
  memcpy(memory.buffer(head), &stolen, 4);
  memcpy(memory.buffer(stolen), &head, 4);
  for (uint32_t i = 0; i < 1024; i++) memory.ring(false, 0)->slot[i].buf_idx = i % 3 ? 0xfffffff0 + i : stolen;
  close(file);
  EXPECT_TRUE(region.buffer_taken(stolen));
  EXPECT_FALSE(region.buffer_taken(head));
  EXPECT_LE(region.free_buffers(), free_now + 2048 + 4);
  close(keeper);
}

TEST_F(ExtraBuffersTest, ReceivedBuffersComeBackOnce) {
  auto in_global = [&](const char* name) {
    auto request = register_request(name);
    auto body = request.body_as<nmreq_register>();
    body.nr_mem_id = kGlobalRegion;
    request.set_body(body);
    return open(request);
  };
  File* keeper = in_global("vale0:1");
  Region& region = *keeper->port->region;
  uint32_t free_before = region.free_buffers();
  File* file = in_global("vale0:2");
  Memory memory = map(*file), kept = map(*keeper);
  const wire::PortInfo& port = memory.info.port;
  // One packet shown in slot 0, by cell 9; the application swapped its buffer with one in the keeper's tx ring.
  auto* cell_of = reinterpret_cast<uint32_t*>(memory.privates.data() + port.rx_state_ofs);
  auto* own = cell_of + port.rx_slots;
  auto* kring = reinterpret_cast<RxKring*>(memory.privates.data() + port.rx_kring_ofs);
  kring->hwtail = 1;
  cell_of[0] = 9 ^ 0;
  own[9] = vale::kInRing;
  netmap_slot &slot = memory.ring(true, 0)->slot[0], &there = kept.ring(false, 0)->slot[0];
  slot.buf_idx = there.buf_idx;
  there.buf_idx = port.rx_base_buf + 9;
  close(file);
  EXPECT_EQ(region.free_buffers(), free_before);
  EXPECT_TRUE(region.buffer_taken(port.rx_base_buf + 9));
  close(keeper);
}

}  // namespace
}  // namespace unetmap::daemon
