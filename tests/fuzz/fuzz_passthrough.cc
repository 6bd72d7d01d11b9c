// SPDX-License-Identifier: BSD-2-Clause
// A hostile guest of a passed-through port: the input is a script of what it writes to its memory and of what the host
// does meanwhile. Beyond memory errors it checks that what the host is to copy lies in the buffers, and that nothing is
// written outside of the host's block, slots and buffers.
//
// Input: steps of four bytes. The first says what: below 0x80 the guest writes - to its block or to slots, where the
// second and third say, a small number, or one of 32 bits that comes of the fourth -, from there on the host does.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "dev/passthrough/device.hh"

namespace {

using namespace unetmap::passthrough;

constexpr uint32_t kSlots = 16;
constexpr Layout kLayout{kSlots};

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "fuzz_passthrough: violated: %s\n", what);
  std::abort();
}

struct alignas(4096) Memory {
  uint8_t bytes[kLayout.bytes()];
};

class Host {
 public:
  explicit Host(Memory& memory) : memory_(memory), device_(memory.bytes, kSlots, {2, 0, 0, 0, 0, 1}) {
    memcpy(header_, memory.bytes, sizeof header_);
  }
  void step(uint8_t what, uint8_t how) {
    device_.attend();
    switch (what & 7) {
      case 0:
      case 1:
        return transmit(what & 1 ? how : kMostFrames);
      case 2:
      case 3:
        return receive(14 + how * (what & 1 ? 1u : 100u), what >> 5);
      case 4:
        return device_.finish();
      case 5:
        (void)device_.arm(how & 1, how & 2);
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
  void transmit(size_t accept) {
    const size_t count = device_.fetch(frames_);
    for (size_t i = 0; i < count; i++) {
      uint64_t bytes = 0;
      for (const Piece& piece : frames_[i].pieces) {
        require(piece.data() >= memory_.bytes + kLayout.buffer(0) &&
                    piece.data() + piece.size() <= memory_.bytes + kLayout.buffer(kLayout.buffers()),
                "a piece to send lies in the buffers");
        bytes += piece.size();
      }
      require(bytes == frames_[i].bytes && bytes >= kShortestFrame && bytes <= kLongestFrame,
              "frames have a frame's length");
    }
    device_.complete(accept);
  }
  void receive(size_t bytes, uint32_t times) {
    const Piece whole(frame_, bytes);
    const Piece pieces[] = {whole.first(bytes / 3), whole.subspan(bytes / 3)};
    for (uint32_t i = 0; i <= times; i++)
      if (device_.deliver(pieces) != Delivery::kDone) break;
  }

  Memory& memory_;
  uint8_t header_[kPage];
  Device device_;
  TxFrame frames_[kMostFrames];
  uint8_t frame_[14 + 255 * 100] = {};
};

void write(Memory& memory, uint8_t what, uint8_t where, uint8_t index, uint8_t value) {
  // Words that mean something: those of the block, and both words of slots.
  static constexpr uint64_t kWords[] = {0, 64, 68, 72, 128, 132, 136};
  uint64_t at = Layout::guest() + kWords[where % std::size(kWords)];
  if (what & 1) at = Layout::tx_slots() + index % kSlots * 16 + where % 4 * 4;
  if (what & 2) at = kLayout.rx_slots() + index % kSlots * 16 + where % 4 * 4;
  const uint32_t words[] = {value, value * 0x01010101u, value | uint32_t{NS_MOREFRAG} << 16, value * 16u};
  memcpy(memory.bytes + at, &words[what >> 2 & 3], 4);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Memory memory;
  memset(memory.bytes, 0, kLayout.buffer(0));
  for (uint32_t i = 0; i < kSlots; i++) {
    store_slot(memory.bytes + Layout::tx_slots(), i, {i, 60, 0});
    store_slot(memory.bytes + kLayout.rx_slots(), i, {kSlots + i, 0, 0});
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
