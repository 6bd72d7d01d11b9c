// SPDX-License-Identifier: BSD-2-Clause
// What is handled four cells at a time comes out as it does one by one, whatever stands in some of them.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "vale/receive.hh"
#include "vale/test_switch.hh"

namespace unetmap::vale::testing {
namespace {

constexpr uint32_t kSlots = 64, kCells = kSlots - 1, kRounds = 3000;

// Whether the ring takes buffers that the sender names.
struct FoursTest : ::testing::TestWithParam<bool> {
  TestSwitch sw;
  std::mt19937 random{7};

  bool one_in(uint32_t n) { return random() % n == 0; }

  TestPort& add() {
    TestPort& port = sw.add(kSlots);
    RxView view = port.receiver->view();
    view.takes_buffers = GetParam();
    port.receiver = std::make_unique<Receiver>(sw.shared, view);
    return port;
  }
  static const Exchange& exchange(const TestPort& port) { return port.receiver->view().exchange; }

  // What may stand in a cell: nearly always a packet in the cell's own buffer.
  uint64_t any_word(const TestPort& port, uint32_t cell) {
    uint32_t buf = port.nbufs - kSlots + cell;  // as the cell had it at the beginning
    uint32_t len = 60 + cell, flags = 1 << NS_PORT_SHIFT;
    if (one_in(40)) len = 0;
    if (one_in(40)) len = port.buf_size + random() % 2;
    if (one_in(20)) flags |= NS_MOREFRAG;
    if (one_in(40)) flags |= NS_FORWARD;
    if (one_in(40))
      buf = std::vector<uint32_t>{0, 1, 2, port.nbufs - 1, port.nbufs, UINT32_MAX, UINT32_MAX / 2}[random() % 7];
    return Exchange::word_of(buf ^ (exchange(port).shape().base_buf + cell), uint16_t(len), uint16_t(flags));
  }
};

// The same cells in two rings: in a chain that tells that they follow each other, and in one that has links.
TEST_P(FoursTest, TakesAsOneByOne) {
  TestPort &fast = add(), &slow = add();
  for (uint32_t round = 0; round < kRounds; round++) {
    const uint32_t first = random() % kCells, count = 1 + random() % (kCells - first);
    // Of cells that are in a ring already, as of one that a sender doubled.
    const uint32_t doubled = one_in(4) ? first + random() % count : kCells;
    std::vector<uint64_t> words;
    for (uint32_t cell = first; cell < first + count; cell++) words.push_back(any_word(fast, cell));
    for (TestPort* port : {&fast, &slow}) {
      const Exchange& ex = exchange(*port);
      for (uint32_t i = 0; i < count; i++) {
        const bool last = i + 1 == count;
        ex.packet(first + i) = words[i] | (port == &fast && !last ? CellWord::kNext : 0);
        ex.link(first + i, last ? UINT32_MAX : first + i + 1, 0);
      }
      port->own[std::min(doubled, kCells)] |= kInRing;
      port->rx_head = port->hwtail = (round * 11) % kSlots;
      ex.push(first, count);
      port->hwtail = port->receiver->take(port->hwtail, (port->rx_head + kSlots - 1) % kSlots);
    }
    ASSERT_EQ(fast.hwtail, slow.hwtail) << round;
    for (uint32_t i = 0; i < kSlots; i++) {
      ASSERT_EQ(fast.rx_slots[i].buf_idx, slow.rx_slots[i].buf_idx) << round << ": slot " << i;
      ASSERT_EQ(fast.rx_slots[i].len, slow.rx_slots[i].len) << round << ": slot " << i;
      ASSERT_EQ(fast.rx_slots[i].flags, slow.rx_slots[i].flags) << round << ": slot " << i;
      ASSERT_EQ(fast.cell_of[i].load(), slow.cell_of[i].load()) << round << ": slot " << i;
      ASSERT_EQ(fast.own[i].load(), slow.own[i].load()) << round << ": cell " << i;
    }
    ASSERT_EQ(fast.rx.packets.load(), slow.rx.packets.load()) << round;
    ASSERT_EQ(fast.rx.bytes.load(), slow.rx.bytes.load()) << round;
    ASSERT_EQ(fast.rx.lost_corrupt.load(), slow.rx.lost_corrupt.load()) << round;
    ASSERT_EQ(exchange(fast).tail_position(), exchange(slow).tail_position()) << round;
    // The next round begins with cells that are nowhere, each with its first buffer.
    for (TestPort* port : {&fast, &slow}) {
      for (auto& own : port->own) own = 0;
      exchange(*port).take_stack();
    }
  }
  EXPECT_GT(fast.rx.packets, kRounds);
  EXPECT_GT(fast.rx.lost_corrupt, kRounds / 10);
}

// Slots that programs gave back, some with other buffers in them, some of no cell, some of cells that are not in the
// ring.
TEST_P(FoursTest, GivesBackEachCellWithWhatIsInItsSlot) {
  TestPort& port = add();
  const Exchange& ex = exchange(port);
  const uint32_t base = ex.shape().base_buf;
  for (uint32_t round = 0; round < kRounds; round++) {
    const uint32_t from = random() % kSlots, count = 1 + random() % kCells;
    uint32_t cell = random() % kCells;
    std::vector<uint32_t> own(kSlots), freed;
    for (uint32_t i = 0; i < kSlots; i++) port.own[i] = kInRing;
    std::vector<bool> given(kSlots);
    for (uint32_t i = 0; i < count; i++, cell = (cell + 1 + one_in(20)) % kCells) {
      const uint32_t at = (from + i) % kSlots;
      port.cell_of[at] = cell ^ at;
      port.rx_slots[at].buf_idx = base + cell;
      if (one_in(30)) port.cell_of[at] = UINT32_MAX ^ at;
      if (one_in(30) && !given[cell]) {
        port.own[cell] = 0;
        if (one_in(2)) port.rx_slots[at].buf_idx |= kInRing;
      }
      if (one_in(20))
        port.rx_slots[at].buf_idx =
            std::vector<uint32_t>{0, 1, 2, port.nbufs - 1, port.nbufs, UINT32_MAX}[random() % 6];
      if (port.cell_of[at] == (UINT32_MAX ^ at) || !(port.own[cell] & kInRing) || given[cell]) continue;
      given[cell] = true;
      const uint32_t buf = port.rx_slots[at].buf_idx;
      own[cell] = buf >= 2 && buf < port.nbufs ? buf ^ (base + cell) : 0;
      freed.push_back(cell);
    }
    const uint64_t before = ex.tail_position();
    ASSERT_EQ(port.receiver->give_back(from, (from + count) % kSlots), freed.size()) << round;
    ASSERT_EQ(ex.tail_position() - before, freed.size()) << round;
    std::vector<uint32_t> free;
    for (uint64_t at = before; at != ex.tail_position(); at++) free.push_back(ex.free_at(at));
    if (free != freed) std::sort(freed.begin(), freed.end());  // where they came in many short stretches
    ASSERT_EQ(free, freed) << round;
    for (const uint32_t each : freed) ASSERT_EQ(port.own[each].load(), own[each]) << round << ": cell " << each;
  }
}

// From any place of the free ring on, whatever stands there.
TEST_P(FoursTest, PopsWhatCanBeACell) {
  TestPort& port = add();
  const Exchange& ex = exchange(port);
  // Behind the free ring stand words that would be cells there.
  for (uint64_t i = 0; i < 2; i++) ex.packet(uint32_t(i)) = ((kSlots + 2 * i) ^ 7) | ((kSlots + 2 * i + 1) ^ 9) << 32;
  for (uint32_t round = 0; round < kRounds; round++) {
    const uint64_t begin = random() % 1000;
    const uint32_t count = 1 + random() % kCells;
    std::vector<uint32_t> wanted;
    ex.shared().free_head = begin;
    for (uint32_t i = 0; i < count; i++) {
      const uint32_t id = one_in(20)
                              ? std::vector<uint32_t>{kCells, kCells + 1, UINT32_MAX, 1u << 31, 1u << 30}[random() % 5]
                              : (begin + i) % kCells;
      ex.put_free(begin + i, id);
      if (id < kCells) wanted.push_back(id);
    }
    ex.publish_free(begin + count);
    std::vector<uint32_t> popped(kCells + 1, 12345);
    popped.resize(ex.pop(count, popped.data()));
    ASSERT_EQ(popped, wanted) << round;
  }
}

INSTANTIATE_TEST_SUITE_P(Buffers, FoursTest, ::testing::Bool(),
                         [](const auto& each) { return each.param ? "Taken" : "Copied"; });

}  // namespace
}  // namespace unetmap::vale::testing
