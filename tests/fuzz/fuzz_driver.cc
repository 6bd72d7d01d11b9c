// SPDX-License-Identifier: BSD-2-Clause
// A hostile device, an 82540EM or a virtio network device: the input is what it writes to the rings' pages and answers
// when its registers are read, and when programs sync meanwhile. Beyond memory errors it checks that each buffer stands
// in one slot, that indices stay in their rings, and that what is shown as received fits a buffer.
//
// Input: byte 0 which device, and how its rings are; then steps: a byte that says what happens, and its arguments. See
// step().
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "driver/e1000/device.hh"
#include "driver/e1000/rings.hh"
#include "driver/virtio_net/device.hh"
#include "driver/virtio_net/rings.hh"
#include "require.hh"

namespace {

using namespace unetmap::driver;
using unetmap::fuzz::require;

constexpr uint32_t kSlots = 16, kBufs = 2 * kSlots + 4, kBufSize = 2048, kHeadroom = 256;

struct Input {
  const uint8_t* at;
  size_t left;
  uint8_t byte() { return left ? (left--, *at++) : 0; }
  uint32_t word() { return byte() | uint32_t{byte()} << 8 | uint32_t{byte()} << 16 | uint32_t{byte()} << 24; }
};

class HostileRegisters final : public Registers {
 public:
  explicit HostileRegisters(Input& input) : input_(input) {}
  uint32_t read(uint32_t, unsigned bytes) override { return bytes == 4 ? input_.word() : input_.byte(); }
  void write(uint32_t, uint32_t, unsigned) override {}

 private:
  Input& input_;
};

struct Machine {
  std::vector<uint8_t> dma = std::vector<uint8_t>(size_t{kDmaPages} * kPageBytes);
  // Exactly as many bytes as there are buffers: a step beyond is seen.
  std::vector<uint8_t> buffers = std::vector<uint8_t>(size_t{kBufs} * kBufSize);
  std::vector<uint64_t> pages = std::vector<uint64_t>(kBufs * kBufSize / kPageBytes, 0x1000);
  netmap_slot tx[kSlots] = {}, rx[kSlots] = {};
  Shared shared{};
  uint32_t tx_cur = 0, tx_tail = kSlots - 1, tx_head = 0, rx_head = 0, rx_tail = 0;
  Tally tally{};

  Machine() {
    for (uint32_t i = 0; i < kSlots; i++) {
      tx[i].buf_idx = 2 + i;
      rx[i].buf_idx = 2 + kSlots + i;
    }
  }
  uint8_t* page(uint32_t number) { return dma.data() + size_t{number} * kPageBytes; }
  BufferMemory memory() const {
    return {const_cast<uint8_t*>(buffers.data()) + kHeadroom, kBufs, kBufSize, kHeadroom, pages.data(), pages.size()};
  }
  void check() const {
    uint32_t seen[kBufs] = {};
    for (uint32_t i = 0; i < kSlots; i++) {
      require(tx[i].buf_idx < kBufs && rx[i].buf_idx < kBufs, "a buffer that there is");
      seen[tx[i].buf_idx]++;
      seen[rx[i].buf_idx]++;
      require(rx[i].len <= kBufSize - kHeadroom, "a length that fits");
    }
    for (uint32_t i = 2; i < 2 + 2 * kSlots; i++) require(seen[i] == 1, "each buffer in one slot");
    require(tx_cur < kSlots && tx_tail < kSlots && rx_tail < kSlots, "indices in their rings");
    require((tx_tail + kSlots - tx_head) % kSlots < kSlots, "room");
  }
};

void step(Machine& m, Input& input, TxQueue& tx, RxQueue& rx) {
  const uint8_t what = input.byte();
  switch (what % 8) {
    case 0: {  // the device writes somewhere: to the rings, or to buffers
      if (what & 8) {
        const size_t at = input.word() % m.buffers.size();
        m.buffers[at] = input.byte();
        return;
      }
      size_t at = input.word() % (size_t{kPagesOfPair + 1} * kPageBytes);
      if (at >= size_t{kPagesOfPair} * kPageBytes) at += size_t{kControl - kPagesOfPair} * kPageBytes;
      for (size_t i = 0, n = input.byte() % 17; i < n && at + i < m.dma.size(); i++) m.dma[at + i] = input.byte();
      return;
    }
    case 1: {  // ... the index of a used ring
      const uint16_t index = uint16_t(input.byte() | input.byte() << 8);
      memcpy(m.page(what & 8 ? kTxUsed : kRxUsed) + 2, &index, sizeof index);
      return;
    }
    case 2: {  // ... an entry of one
      const uint32_t entry[] = {input.byte() % 20u, input.word() % 2100};
      memcpy(m.page(what & 8 ? kTxUsed : kRxUsed) + 4 + 8 * (input.byte() % kSlots), entry, sizeof entry);
      return;
    }
    case 3: {  // ... a descriptor that is done, of an e1000 or of a packed ring
      const uint64_t word = input.word() % 2100 | uint64_t{input.byte()} << 32 | uint64_t(what & 16 ? 0x8080 : 0) << 48;
      memcpy(m.page(what & 8 ? kTxDescriptors : kRxDescriptors) + 16 * (input.byte() % kSlots) + 8, &word, sizeof word);
      return;
    }
    case 4: {  // the program fills slots
      for (uint32_t n = input.byte() % 4; n > 0 && (m.tx_tail + kSlots - m.tx_head) % kSlots > 0; n--) {
        netmap_slot& slot = m.tx[m.tx_head];
        slot.len = uint16_t(input.word() % 2200);
        slot.flags = uint16_t(input.byte() % 128);
        slot.ptr = input.byte();
        m.tx_head = (m.tx_head + 1) % kSlots;
      }
      return;
    }
    case 5:
      return tx.sync(m.tally, m.tx_cur, m.tx_tail, m.tx_head, what & 8);
    case 6:
      return rx.sync(m.tally, m.rx_head, m.rx_tail, what & 8);
    default: {  // the program gives back what it has seen
      for (uint32_t n = input.byte() % kSlots; n > 0 && m.rx_head != m.rx_tail; n--)
        m.rx_head = (m.rx_head + 1) % kSlots;
      return;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input{data, size};
  auto machine = std::make_unique<Machine>();
  HostileRegisters registers(input);
  const uint8_t choice = input.byte();
  Machine& there = *machine;
  DeviceSettings settings{.mtu = choice & 8 ? 9000u : 1500u,
                          .buffer_room = kBufSize - kHeadroom,
                          .pairs = uint32_t{choice} >> 4,
                          .descriptors = kSlots,
                          .control_page = there.page(kControl)};
  std::unique_ptr<TxQueue> tx;
  std::unique_ptr<RxQueue> rx;
  const Ring tx_ring{machine->tx, kSlots, choice & 2 ? 0xffu : 0, machine->memory()};
  const Ring rx_ring{machine->rx, kSlots, 0, machine->memory()};
  Shared& shared = machine->shared;
  if (choice & 4) {
    // What a device says of itself when it is set up; and where its structures are.
    if (auto places = virtio_places({input.at, input.left}); places) {
      require(places->common + 56 <= places->bar_bytes && places->device + 10 <= places->bar_bytes,
              "structures in the BAR");
      (void)VirtioNetDevice(registers, *places).start(settings, shared, [](uint32_t) {}).has_value();
    }
    (void)E1000Device(registers, E1000Kind(choice >> 4 & 3)).start(settings, shared, [](uint32_t) {}).has_value();
    return 0;
  }
  shared.descriptors = kSlots;
  shared.most_bytes = 16288;
  if (choice & 1) {
    shared.virtio_ways = choice >> 3 & (kPackedRings | kEventIndex | kMergeableBuffers);
    PairState& state = shared.pairs[0];
    for (uint32_t i = 0; i < kSlots; i++) state.tx.free_ids[i] = state.rx.ids[i] = i;
    state.tx.free_count = kSlots;
    tx = virtio_tx(registers, shared, 0,
                   {machine->page(kTxDescriptors), machine->page(kTxAvailable), machine->page(kTxUsed)}, tx_ring);
    rx = virtio_rx(registers, shared, 0,
                   {machine->page(kRxDescriptors), machine->page(kRxAvailable), machine->page(kRxUsed)}, rx_ring);
  } else {
    shared.e1000_kind = choice >> 4 & 3;
    const E1000Card& card = e1000_card(E1000Kind(shared.e1000_kind));
    const E1000Tails tails(registers, choice & 8 ? machine->page(kControl) : nullptr, card);
    tx = std::make_unique<E1000Tx>(tails, shared, machine->page(kTxDescriptors), tx_ring);
    rx = std::make_unique<E1000Rx>(tails, shared, machine->page(kRxDescriptors), rx_ring);
  }
  while (input.left) {
    step(*machine, input, *tx, *rx);
    machine->check();
  }
  return 0;
}
