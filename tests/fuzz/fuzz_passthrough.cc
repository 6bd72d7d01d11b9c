// SPDX-License-Identifier: BSD-2-Clause
// A hostile guest of a passed-through port: the input is a script of what it writes to its memory and of what the host
// does meanwhile. Beyond memory errors it checks that what the host is to copy lies in the buffers, and that nothing is
// written outside of the host's block, slots and buffers.
//
// Input: steps of four bytes. The first says what: below 0x80 the guest writes - to its block or to slots, where the
// second and third say, a small number, or one of 32 bits that comes of the fourth -, from there on the host does.
#include <cstring>
#include <vector>

#include "dev/passthrough/device.hh"
#include "require.hh"

namespace {

using namespace unetmap::passthrough;
using unetmap::fuzz::require;

constexpr uint32_t kSlots = 16;
constexpr uint32_t kPairs = 2;
constexpr Layout kLayout{kSlots, kPairs};

struct alignas(4096) Memory {
  uint8_t bytes[kLayout.bytes()];
};

class Host {
 public:
  explicit Host(Memory& memory)
      : memory_(memory), device_({memory.bytes, sizeof memory.bytes}, kSlots, kPairs, {2, 0, 0, 0, 0, 1}) {
    memcpy(header_, memory.bytes, sizeof header_);
  }
  void step(uint8_t what, uint8_t how) {
    device_.attend();
    RingPair& pair = device_.pair(what >> 4 & 1);
    switch (what & 7) {
      case 0:
      case 1:
        return transmit(what & 1 ? how : UINT32_MAX, pair);
      case 2:
      case 3:
        return receive(14 + how * (what & 1 ? 1u : 100u), what >> 5, pair);
      case 4:
        return pair.finish();
      case 5:
        (void)device_.arm(how & 3, how >> 2 & 3);
        return device_.disarm();
      case 6:
        (void)device_.take_interrupt();
        return;
      default:
        require(device_.listening() == (device_.attend()), "who listens was attended to");
    }
  }
  void check() const { require(memcmp(header_, memory_.bytes, sizeof header_) == 0, "the header is as it was"); }

 private:
  void transmit(uint32_t accept, RingPair& pair) {
    const std::span<const SlotWord> slots = pair.fetch();
    uint64_t bytes = 0;
    for (const SlotWord& slot : slots) {
      if (slot.buf_idx == 0) continue;
      const Piece piece = pair.bytes_of(slot);
      require(piece.data() >= memory_.bytes + kLayout.buffer(kFirstBuffer) &&
                  piece.data() + piece.size() <= memory_.bytes + kLayout.buffer(kLayout.buffers()),
              "a piece to send lies in the buffers");
      require((slot.flags & ~NS_MOREFRAG) == 0, "flags of a slot are the host's");
      bytes += piece.size();
      if (slot.flags & NS_MOREFRAG) continue;
      require(bytes >= kShortestFrame && bytes <= kLongestFrame, "frames have a frame's length");
      bytes = 0;
    }
    require(bytes == 0, "packets come whole");
    if (accept < slots.size()) pair.give_back(accept);
    require(pair.outstanding() < kSlots, "no more slots are the host's than there are");
    pair.complete(accept);
  }
  void receive(uint32_t bytes, uint32_t times, RingPair& pair) {
    const Piece whole(frame_, bytes);
    const Piece pieces[] = {whole.first(bytes / 3), whole.subspan(bytes / 3)};
    for (uint32_t i = 0; i <= times; i++)
      if ((bytes <= kBufferBytes && i % 2 ? pair.deliver(frame_, bytes) : pair.deliver(pieces)) != Delivery::kDone)
        break;
  }

  Memory& memory_;
  uint8_t header_[kPage];
  Device device_;
  uint8_t frame_[14 + 255 * 100] = {};
};

void write(Memory& memory, uint8_t what, uint8_t where, uint8_t index, uint8_t value) {
  // Words that mean something: those of the block, and both words of slots.
  static constexpr uint64_t kWords[] = {0, 64, 68, 72, 128, 132, 136, 192, 200, 256, 264};
  const uint32_t pair = value & 1;
  uint64_t at = Layout::guest() + kWords[where % std::size(kWords)];
  if (what & 1) at = kLayout.tx_slots(pair) + index % kSlots * 16 + where % 4 * 4;
  if (what & 2) at = kLayout.rx_slots(pair) + index % kSlots * 16 + where % 4 * 4;
  const uint32_t words[] = {value, value * 0x01010101u, value | uint32_t{NS_MOREFRAG} << 16, value * 16u};
  memcpy(memory.bytes + at, &words[what >> 2 & 3], 4);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Memory memory;
  memset(memory.bytes, 0, kLayout.buffer(0));
  for (uint32_t pair = 0; pair < kPairs; pair++)
    for (uint32_t i = 0; i < kSlots; i++) {
      store_slot(memory.bytes + kLayout.tx_slots(pair), i, {kFirstBuffer + i, 60, 0});
      store_slot(memory.bytes + kLayout.rx_slots(pair), i, {kFirstBuffer + kSlots + i, 0, 0});
    }
  Host host(memory);
  reinterpret_cast<GuestBlock*>(memory.bytes + Layout::guest())->session = 1;
  for (; size >= 4; data += 4, size -= 4) {
    if (data[0] & 0x80)
      host.step(data[1], data[2]);
    else
      write(memory, data[0], data[1], data[2], data[3]);
  }
  host.check();
  return 0;
}
