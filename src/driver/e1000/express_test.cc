// SPDX-License-Identifier: BSD-2-Clause
// The driver against a card like an 82574L or an 82576, as their datasheets say: what our own model of an 82540EM is
// not.
#include <gtest/gtest.h>

#include <map>
#include <new>

#include "driver/e1000/device.hh"
#include "driver/e1000/rings.hh"
#include "driver/test_machine.hh"

namespace unetmap::driver {
namespace {

namespace reg = unetmap::e1000::reg;
using namespace unetmap::e1000;

constexpr uint32_t kGioMasterDisable = 1u << 2, kGioMasterEnable = 1u << 19, kRingEnable = 1u << 25;
constexpr uint64_t kDataDescriptor = uint64_t{3} << 20 | uint64_t{1} << 29;

// Its rings move when the test says so.
class ExpressCard final : public Registers {
 public:
  ExpressCard(E1000Kind kind, const guest::GuestMemory& memory) : card_(e1000_card(kind)), memory_(memory) {}

  uint32_t read(uint32_t offset, unsigned) override {
    if (offset == reg::kIcr) {
      const uint32_t out = causes;
      if (mask == 0) causes = 0;  // else reading has no effect
      return out;
    }
    if (offset == reg::kStatus) return kStatusLu | (registers_[reg::kCtrl] & kGioMasterDisable ? 0 : kGioMasterEnable);
    if (offset == reg::kMdic) return kMdicReady;
    return registers_[offset];
  }
  void write(uint32_t offset, uint32_t value, unsigned) override {
    if (offset == reg::kIcr)
      causes &= ~value;
    else if (offset == reg::kIms)
      mask |= value;
    else if (offset == reg::kImc)
      mask &= ~value;
    else if (offset == reg::kCtrl && (value & kCtrlRst))
      reset();
    else
      registers_[offset] = value;
  }
  bool asserted() const { return causes & mask; }

  std::vector<Bytes> taken() {
    std::vector<Bytes> out;
    Bytes frame;
    const uint32_t size = registers_[card_.tx(reg::kTdlen)] / 16;
    uint32_t& head = registers_[card_.tx(reg::kTdh)];
    if (!runs(reg::kTctl, kTctlEn, card_.tx(reg::kTxdctl))) return out;
    for (; head != registers_[card_.tx(reg::kTdt)]; head = (head + 1) % size) {
      uint64_t* words = words_of(card_.tx(reg::kTdbal), card_.tx(reg::kTdbah), head);
      const uint64_t word = words[1];
      const uint8_t* at = memory_.at(words[0], word & 0xffff);
      if (at == nullptr) return {};
      if (card_.advanced) {
        EXPECT_EQ(word & kDataDescriptor, kDataDescriptor);
      }
      if (frame.empty()) total_ = uint32_t(word >> 46);
      frame.insert(frame.end(), at, at + (word & 0xffff));
      if (word & uint64_t{8} << 24) {
        words[1] |= uint64_t{1} << 32;
        causes |= kTxdw;
      }
      if (!(word & uint64_t{1} << 24)) continue;
      if (card_.advanced) {
        EXPECT_EQ(total_, frame.size());
      }
      out.push_back(std::move(frame));
      frame.clear();
    }
    return out;
  }

  bool deliver(const Bytes& frame, bool broken = false) {
    const uint32_t size = registers_[card_.rx(reg::kRdlen)] / 16;
    if (!runs(reg::kRctl, kRctlEn, card_.rx(reg::kRxdctl))) return false;
    uint32_t& head = registers_[card_.rx(reg::kRdh)];
    const uint32_t room = buffer_bytes();
    for (size_t done = 0; done < frame.size();) {
      if (head == registers_[card_.rx(reg::kRdt)]) return false;
      uint64_t* words = words_of(card_.rx(reg::kRdbal), card_.rx(reg::kRdbah), head);
      const size_t part = std::min<size_t>(room, frame.size() - done);
      uint8_t* at = memory_.at(words[0], part);
      if (at == nullptr) return false;
      memcpy(at, &frame[done], part);
      done += part;
      const bool last = done == frame.size();
      if (card_.advanced) words[0] = 0x1234'5678'9abc'def0;  // what kind of packet it was
      words[1] = card_.advanced ? part << 32 | (last ? 3 : 1) | (broken ? uint64_t{1} << 31 : 0)
                                : part | (last ? uint64_t{3} : uint64_t{1}) << 32 | (broken ? uint64_t{0x80} << 40 : 0);
      head = (head + 1) % size;
    }
    causes |= kRxt0;
    return true;
  }

  uint32_t mask = 0, causes = 0;

 private:
  void reset() {
    EXPECT_TRUE(registers_[reg::kCtrl] & kGioMasterDisable) << "reset while it may be writing to memory";
    registers_.clear();
    mask = causes = 0;
  }
  bool runs(uint32_t control, uint32_t enable, uint32_t ring_control) {
    return (registers_[control] & enable) && (!card_.advanced || (registers_[ring_control] & kRingEnable)) &&
           !(registers_[reg::kCtrl] & kGioMasterDisable);
  }
  uint32_t buffer_bytes() {
    if (card_.advanced) return (registers_[card_.rx(reg::kRdbal) + 0xc] & 0x7f) * 1024;
    return registers_[reg::kRctl] & 1u << kRctlBsizeShift ? 1024 : 2048;
  }
  uint64_t* words_of(uint32_t low, uint32_t high, uint32_t index) {
    const uint64_t base = registers_[low] | uint64_t{registers_[high]} << 32;
    return reinterpret_cast<uint64_t*>(memory_.at(base + uint64_t{index} * 16, 16));
  }

  const E1000Card& card_;
  const guest::GuestMemory& memory_;
  std::map<uint32_t, uint32_t> registers_;
  uint32_t total_ = 0;
};

class DriverE1000ExpressTest : public testing::TestWithParam<E1000Kind> {
 protected:
  DriverE1000ExpressTest() { start(1500); }
  void start(uint32_t mtu) {
    DeviceSettings settings = machine.settings();
    settings.mtu = mtu;
    new (&machine.shared) Shared{};
    E1000Device device(card, GetParam());
    auto started = device.start(settings, machine.shared, [](uint32_t) {});
    ASSERT_TRUE(started) << started.error().text;
    ASSERT_TRUE(device.link_up());
    const E1000Tails tails(card, nullptr, e1000_card(GetParam()));
    tx.emplace(tails, machine.shared, machine.dma_page(kTxDescriptors), machine.tx_ring());
    rx.emplace(tails, machine.shared, machine.dma_page(kRxDescriptors), machine.rx_ring());
    rings.emplace(TestRings{*tx, *rx});
  }
  void send(const Bytes& frame, const std::vector<uint32_t>& cuts = {}) {
    rings->tx_head = (rings->tx_head + machine.fill(rings->tx_head, frame, cuts)) % TestMachine::kSlots;
    rings->sync_tx();
  }
  std::vector<Bytes> received() {
    std::vector<Bytes> out;
    bool more = false;
    rings->sync_rx();
    for (; rings->rx_head != rings->rx_tail; rings->rx_head = (rings->rx_head + 1) % TestMachine::kSlots) {
      const Bytes part = machine.shown(rings->rx_head);
      if (!more) out.emplace_back();
      out.back().insert(out.back().end(), part.begin(), part.end());
      more = machine.rx_slots_[rings->rx_head].flags & NS_MOREFRAG;
    }
    rings->sync_rx();
    return out;
  }

  TestMachine machine;
  ExpressCard card{GetParam(), machine.memory};
  std::optional<E1000Tx> tx;
  std::optional<E1000Rx> rx;
  std::optional<TestRings> rings;
};

std::string name_of(const testing::TestParamInfo<E1000Kind>& info) { return e1000_card(info.param).name; }
INSTANTIATE_TEST_SUITE_P(Cards, DriverE1000ExpressTest, testing::Values(E1000Kind::k82574l, E1000Kind::k82576),
                         name_of);

TEST_P(DriverE1000ExpressTest, EveryLengthGoesBothWays) {
  rings->sync_rx();
  for (uint32_t len = 14; len <= 1522; len++) {
    const Bytes frame = frame_of(len, len);
    send(frame, len % 3 == 0 ? std::vector<uint32_t>{len / 3, len / 4} : std::vector<uint32_t>{});
    ASSERT_EQ(card.taken(), std::vector<Bytes>{frame});
    rings->sync_tx();
    ASSERT_EQ(rings->room(), TestMachine::kSlots - 1);
    ASSERT_TRUE(card.deliver(frame)) << len;
    ASSERT_EQ(received(), std::vector<Bytes>{frame});
  }
  EXPECT_EQ(rings->received.corrupt, 0u);
  EXPECT_TRUE(machine.buffers_stand_once());
}

TEST_P(DriverE1000ExpressTest, LongFramesComeInPieces) {
  start(9000);
  rings->sync_rx();
  for (uint32_t len : {1024u, 1025u, 4000u, 9014u}) {
    const Bytes frame = frame_of(len, len);
    ASSERT_TRUE(card.deliver(frame));
    ASSERT_EQ(received(), std::vector<Bytes>{frame});
    send(frame, {1000, 1000, 1000, 1000, 1000});
    const bool fits_slots = len < 5000 + machine.buffers().room();
    ASSERT_EQ(card.taken().size(), fits_slots ? 1u : 0u) << len;
  }
}

TEST_P(DriverE1000ExpressTest, BrokenFramesAreCounted) {
  rings->sync_rx();
  ASSERT_TRUE(card.deliver(frame_of(1, 100), true));
  ASSERT_TRUE(card.deliver(frame_of(2, 100)));
  EXPECT_EQ(received(), std::vector<Bytes>{frame_of(2, 100)});
  EXPECT_EQ(rings->received.corrupt, 1u);
}

// A cause that stays set would be no news.
TEST_P(DriverE1000ExpressTest, EachWaitIsForANewInterrupt) {
  rings->sync_rx();
  for (uint32_t lap = 0; lap < 10; lap++) {
    e1000_ask(card, nullptr, e1000_card(GetParam()), true, false);
    ASSERT_FALSE(card.asserted()) << lap;
    ASSERT_TRUE(card.deliver(frame_of(lap, 100)));
    ASSERT_TRUE(card.asserted());
    ASSERT_EQ(received().size(), 1u);
  }
}

TEST_P(DriverE1000ExpressTest, AStoppedCardTouchesNothing) {
  rings->sync_rx();
  E1000Device(card, GetParam()).stop([](uint32_t) {});
  EXPECT_FALSE(card.deliver(frame_of(1, 60)));
  send(frame_of(1, 60));
  EXPECT_TRUE(card.taken().empty());
}

TEST(E1000Cards, AreKnownByTheirDevices) {
  EXPECT_EQ(e1000_kind(0x100e), E1000Kind::k82540em);
  EXPECT_EQ(e1000_kind(0x10d3), E1000Kind::k82574l);
  EXPECT_EQ(e1000_kind(0x10c9), E1000Kind::k82576);
  EXPECT_FALSE(e1000_kind(0x1041));
  EXPECT_EQ(&e1000_card(E1000Kind(77)), &e1000_card(E1000Kind::k82540em));
}

}  // namespace
}  // namespace unetmap::driver
