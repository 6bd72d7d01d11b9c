// SPDX-License-Identifier: BSD-2-Clause
// Both sides of a passed-through port in one process, for tests.
#pragma once

#include <gtest/gtest.h>

#include <new>
#include <optional>
#include <vector>

#include "dev/passthrough/device.hh"
#include "driver/passthrough/device.hh"
#include "driver/passthrough/rings.hh"
#include "driver/test_machine.hh"

namespace unetmap::driver {

// BAR 0: counts, and may be where a process dies.
class TestBell final : public Registers {
 public:
  static constexpr uint32_t kAt = 0x40c;
  uint32_t read(uint32_t, unsigned) override { return UINT32_MAX; }
  void write(uint32_t offset, uint32_t value, unsigned bytes) override {
    EXPECT_EQ(offset, kAt);
    EXPECT_EQ(value, passthrough::kDoorbellHost);
    EXPECT_EQ(bytes, 4u);
    if (dies) throw Killed();
    rung++;
  }
  uint32_t rung = 0;
  bool dies = false;
};

// A program's rings on one pair.
struct PassedProgram {
  TestMachine machine;
  std::optional<PassedTx> tx;
  std::optional<PassedRx> rx;
  std::optional<TestRings> rings;
};

class PassedTest : public testing::Test {
 protected:
  static constexpr uint32_t kSlots = TestMachine::kSlots;

  explicit PassedTest(uint32_t pairs = 1) : layout{kSlots, pairs}, programs(pairs) {}
  void SetUp() override {
    bar.resize(layout.bytes() / sizeof(Page));
    device.emplace(bytes(), kSlots, layout.pairs, std::array<uint8_t, 6>{2, 0, 0, 0, 0, 9});
    start();
  }
  std::span<uint8_t> bytes() { return {bar.data()->bytes, bar.size() * sizeof(Page)}; }
  void start() {
    new (&shared) Shared{};
    PassedDevice driver(bell, TestBell::kAt, bytes());
    auto started = driver.start({}, shared, [this](uint32_t) { device->attend(); });
    ASSERT_TRUE(started) << started.error().text;
    ASSERT_TRUE(device->listening());
    const auto memory = PassedMemory::of(bytes());
    ASSERT_TRUE(memory);
    for (uint32_t pair = 0; pair < layout.pairs; pair++) {
      PassedProgram& program = programs[pair];
      program.machine.use(memory->buffers(), passthrough::kFirstBuffer + 2 * kSlots * pair);
      program.tx.emplace(bell, shared, pair, *memory, program.machine.tx_ring());
      program.rx.emplace(bell, shared, pair, *memory, program.machine.rx_ring());
      program.rings.emplace(TestRings{*program.tx, *program.rx});
      program.rings->sync_rx();  // gives the host its slots
    }
  }
  void send(const Bytes& frame, const std::vector<uint32_t>& cuts = {}, uint32_t pair = 0) {
    TestRings& to = *programs[pair].rings;
    to.tx_head = (to.tx_head + programs[pair].machine.fill(to.tx_head, frame, cuts)) % kSlots;
  }
  std::vector<Bytes> taken_by_host(size_t most = SIZE_MAX, uint32_t pair = 0) {
    std::vector<Bytes> out;
    device->attend();
    passthrough::RingPair& from = device->pair(pair);
    while (out.size() < most) {
      const auto slots = from.fetch();
      if (slots.empty()) break;
      uint32_t done = 0;
      for (bool more = false; done < slots.size() && (more || out.size() < most); done++) {
        if (slots[done].buf_idx == 0) continue;
        if (!more) out.emplace_back();
        const passthrough::Piece piece = from.bytes_of(slots[done]);
        out.back().insert(out.back().end(), piece.begin(), piece.end());
        more = slots[done].flags & NS_MOREFRAG;
      }
      from.give_back(done);
      from.complete(done);
    }
    return out;
  }
  passthrough::Delivery deliver(const Bytes& frame, size_t cut = SIZE_MAX, uint32_t pair = 0) {
    device->attend();
    cut = std::min(cut, frame.size());
    if (cut == frame.size() && cut <= passthrough::kBufferBytes)
      return device->pair(pair).deliver(frame.data(), uint32_t(cut));
    const passthrough::Piece pieces[] = {{frame.data(), cut}, {frame.data() + cut, frame.size() - cut}};
    return device->pair(pair).deliver({pieces, cut < frame.size() ? 2u : 1u});
  }
  void finish(uint32_t pair = 0) { device->pair(pair).finish(); }
  std::vector<Bytes> received(uint32_t pair = 0) {
    std::vector<Bytes> out;
    bool more = false;
    PassedProgram& by = programs[pair];
    for (TestRings& of = *by.rings; of.rx_head != of.rx_tail; of.rx_head = (of.rx_head + 1) % kSlots) {
      Bytes part = by.machine.shown(of.rx_head);
      if (!more) out.emplace_back();
      out.back().insert(out.back().end(), part.begin(), part.end());
      more = by.machine.rx_slots_[of.rx_head].flags & NS_MOREFRAG;
    }
    return out;
  }
  TestRings& rings() { return *programs[0].rings; }
  TestMachine& machine() { return programs[0].machine; }
  passthrough::GuestBlock& guest() {
    return *reinterpret_cast<passthrough::GuestBlock*>(bytes().data() + passthrough::Layout::guest());
  }
  passthrough::HostBlock& host() {
    return *reinterpret_cast<passthrough::HostBlock*>(bytes().data() + passthrough::Layout::host());
  }

  const passthrough::Layout layout;
  struct alignas(4096) Page {
    uint8_t bytes[4096];
  };
  std::vector<Page> bar;
  TestBell bell;
  Shared shared{};
  std::vector<PassedProgram> programs;
  std::optional<passthrough::Device> device;
};

class PassedPairs : public PassedTest {
 protected:
  PassedPairs() : PassedTest(3) {}
};

}  // namespace unetmap::driver
