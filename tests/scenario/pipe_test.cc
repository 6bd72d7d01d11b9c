// SPDX-License-Identifier: BSD-2-Clause
// Pipes: a slot and its buffer are with the reader until the reader gives them back.
#include <gtest/gtest.h>

#include "flows.hh"

namespace {

class PipeTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = "valepipe" + std::to_string(getpid()) + ":p";
    in_ = nmport_open((name + "{1").c_str());
    out_ = nmport_open((name + "}1").c_str());
    ASSERT_TRUE(in_ && out_) << strerror(errno);
  }
  void TearDown() override {
    for (nmport_d* end : {in_, out_})
      if (end) nmport_close(end);
  }
  netmap_ring* tx() const { return NETMAP_TXRING(in_->nifp, 0); }
  netmap_ring* rx() const { return NETMAP_RXRING(out_->nifp, 0); }
  // Puts a slot of `bytes` copies of `letter` in the ring, to be sent with the next sync.
  netmap_slot& put(char letter, uint16_t bytes = 60, uint16_t flags = 0) {
    netmap_slot& slot = tx()->slot[tx()->head];
    memset(NETMAP_BUF(tx(), slot.buf_idx), letter, bytes);
    slot.len = bytes;
    slot.flags = flags;
    tx()->head = tx()->cur = nm_ring_next(tx(), tx()->head);
    return slot;
  }
  void sync_tx() { ASSERT_EQ(ioctl(in_->fd, NIOCTXSYNC, nullptr), 0) << strerror(errno); }
  void sync_rx() { ASSERT_EQ(ioctl(out_->fd, NIOCRXSYNC, nullptr), 0) << strerror(errno); }
  // Gives `count` slots back.
  void release(uint32_t count) {
    rx()->head = (rx()->head + count) % rx()->num_slots;
    rx()->cur = rx()->head;
    sync_rx();
  }
  netmap_slot& received(uint32_t i) { return rx()->slot[(rx()->head + i) % rx()->num_slots]; }
  std::string bytes_of(const netmap_slot& slot) { return std::string(NETMAP_BUF(rx(), slot.buf_idx), slot.len); }

  nmport_d *in_ = nullptr, *out_ = nullptr;
};

TEST_F(PipeTest, HoldsOneLessThanItsSlotsUntilTheReaderGivesSomeBack) {
  EXPECT_FALSE(nm_tx_pending(tx()));
  uint32_t sent = 0;
  for (; sent < 10 * tx()->num_slots && !nm_ring_empty(tx()); sent++) {
    put('a');
    if (sent % 100 == 99) sync_tx();
  }
  sync_tx();
  EXPECT_EQ(sent, tx()->num_slots - 1);
  EXPECT_TRUE(nm_ring_empty(tx()));
  EXPECT_TRUE(nm_tx_pending(tx()));
  sync_rx();
  EXPECT_EQ(nm_ring_space(rx()), sent);
  sync_tx();
  EXPECT_TRUE(nm_ring_empty(tx())) << "read, and not given back";
  release(10);
  sync_tx();
  EXPECT_EQ(nm_ring_space(tx()), 10u);
  EXPECT_TRUE(nm_tx_pending(tx()));
  release(sent - 10);
  sync_tx();
  EXPECT_EQ(nm_ring_space(tx()), tx()->num_slots - 1);
  EXPECT_FALSE(nm_tx_pending(tx()));
}

TEST_F(PipeTest, SlotsArriveAsTheyWereSent) {
  const uint16_t flags = NS_REPORT | NS_FORWARD | NS_NO_LEARN | 0x500;
  for (int round = 0; round < 3000; round++) {
    put('a', 61, flags).ptr = 0x1234567890 + uint64_t(round);
    uint32_t buf = tx()->slot[(tx()->head + tx()->num_slots - 1) % tx()->num_slots].buf_idx;
    sync_tx();
    sync_rx();
    ASSERT_EQ(nm_ring_space(rx()), 1u);
    EXPECT_EQ(received(0).flags, flags);
    EXPECT_EQ(received(0).ptr, 0x1234567890 + uint64_t(round));
    EXPECT_EQ(received(0).buf_idx, buf) << "the very buffer";
    EXPECT_EQ(bytes_of(received(0)), std::string(61, 'a'));
    release(1);
  }
}

// Whoever puts another buffer in a slot says so, and the other end then has that one.
TEST_F(PipeTest, ExchangedBuffersGoBackToTheSender) {
  put('a');
  put('b');
  sync_tx();
  sync_rx();
  ASSERT_EQ(nm_ring_space(rx()), 2u);
  std::swap(received(0).buf_idx, received(1).buf_idx);
  for (uint32_t i : {0u, 1u}) received(i).flags |= NS_BUF_CHANGED;
  uint32_t first = received(0).buf_idx, second = received(1).buf_idx;
  release(2);
  sync_tx();
  EXPECT_EQ(tx()->slot[0].buf_idx, first);
  EXPECT_EQ(tx()->slot[1].buf_idx, second);
  EXPECT_TRUE(tx()->slot[0].flags & tx()->slot[1].flags & NS_BUF_CHANGED);
  // The sender's own exchange is told to the reader, once.
  tx()->head = tx()->cur = 2;
  uint32_t third = tx()->slot[2].buf_idx;
  tx()->slot[2].buf_idx = tx()->slot[3].buf_idx;
  tx()->slot[3].buf_idx = third;
  put('c', 60, NS_BUF_CHANGED);
  put('d', 60, NS_BUF_CHANGED);
  sync_tx();
  EXPECT_FALSE((tx()->slot[2].flags | tx()->slot[3].flags) & NS_BUF_CHANGED);
  sync_rx();
  EXPECT_TRUE(received(0).flags & NS_BUF_CHANGED);
  EXPECT_EQ(received(1).buf_idx, third);
  EXPECT_EQ(bytes_of(received(0)) + bytes_of(received(1)), std::string(60, 'c') + std::string(60, 'd'));
}

TEST_F(PipeTest, WhatCannotBeIsNotHandedOver) {
  const uint32_t good = tx()->slot[0].buf_idx;
  put('a').buf_idx = 1u << 30;
  put('b').len = uint16_t(tx()->nr_buf_size + 1);
  put('c', 100, NS_MOREFRAG);
  put('d', 100).buf_idx = 0;
  put('e', 100, NS_MOREFRAG);
  put('f', 100);
  sync_tx();
  sync_rx();
  ASSERT_EQ(nm_ring_space(rx()), 6u);
  for (uint32_t i = 0; i < 4; i++) {
    EXPECT_EQ(received(i).len, 0) << i;
    EXPECT_GE(received(i).buf_idx, 2u) << i;
  }
  EXPECT_EQ(received(0).buf_idx, good);
  EXPECT_EQ(bytes_of(received(4)) + bytes_of(received(5)), std::string(100, 'e') + std::string(100, 'f'));
  release(6);
  // A reader's nonsense does not reach the sender either.
  tx()->slot[0].buf_idx = good;
  put('g');
  sync_tx();
  sync_rx();
  const uint32_t before = received(0).buf_idx;
  received(0).buf_idx = 1u << 30;
  received(0).flags |= NS_BUF_CHANGED;
  release(1);
  sync_tx();
  EXPECT_EQ(tx()->slot[6].buf_idx, before);
}

TEST_F(PipeTest, UnfinishedPacketsWaitForTheirEnd) {
  put('a', 100);
  put('b', 100, NS_MOREFRAG);
  sync_tx();
  sync_rx();
  EXPECT_EQ(nm_ring_space(rx()), 1u);
  put('c', 100);
  sync_tx();
  sync_rx();
  EXPECT_EQ(nm_ring_space(rx()), 3u);
}

// Asleep for room, woken by whoever gives some back.
TEST_F(PipeTest, PollWaitsForTheReader) {
  while (!nm_ring_empty(tx())) put('a');
  sync_tx();
  pollfd p{in_->fd, POLLOUT, 0};
  EXPECT_EQ(poll(&p, 1, 20), 0);
  pid_t reader = flows::spawn([&] {
    sync_rx();
    release(nm_ring_space(rx()));
    _exit(0);
  });
  EXPECT_EQ(poll(&p, 1, 20000), 1);
  EXPECT_EQ(p.revents, POLLOUT);
  EXPECT_EQ(nm_ring_space(tx()), tx()->num_slots - 1);
  waitpid(reader, nullptr, 0);
}

}  // namespace
