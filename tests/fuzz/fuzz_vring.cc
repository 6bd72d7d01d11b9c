// SPDX-License-Identifier: BSD-2-Clause
// A hostile guest: the input is an image of its memory, rings and all, and a script of what the device does meanwhile.
// Beyond memory errors it checks that the device ends its work, that every pointer it got lies in guest memory, and
// that nothing is written outside of what the driver said is writable - by a canary around the guest's memory.
//
// Input: byte 0 features, byte 1 log2 of the queue size (0-8, packed: any of the odd sizes as well), bytes 2-3
// position, byte 4 number of steps, then as many steps of one byte, then the image, which is laid over the memory and
// repeated.
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <memory>

#include "dev/virtio_net/rx_queue.hh"
#include "dev/virtio_net/tx_queue.hh"
#include "require.hh"

namespace {

using namespace unetmap;
using namespace unetmap::virtio;
using unetmap::fuzz::require;

// Small, so that random 64-bit addresses have a chance: two regions that touch, guest addresses from 0.
constexpr uint64_t kRegion = 0x1000, kMemory = 2 * kRegion, kUser = 0x10'0000;
constexpr uint32_t kMaxSize = 16;
constexpr uint64_t kDescriptors = 0, kDriver = 0x100, kDevice = 0x140;

struct Guest {
  UniqueFd fd{memfd_create("guest", MFD_CLOEXEC)};
  guest::GuestMemory memory;

  Guest() {
    require(ftruncate(fd.get(), kMemory) == 0, "memory");
    map();
  }
  void map() {
    require(memory.add({0, kRegion, kUser, 0}, fd.get()).has_value(), "first region");
    require(memory.add({kRegion, kRegion, kUser + kRegion, kRegion}, fd.get()).has_value(), "second region");
  }
  bool holds(const Piece& piece) const { return piece.bytes > 0 && memory.at(piece.guest, piece.bytes) == piece.at; }
};

uint64_t features_of(uint8_t choice) {
  uint64_t features = kCsum | kGuestCsum | kHostTso4 | kGuestTso4;
  if (choice & 1) features |= kVersion1 | kRingPacked;
  if (choice & 2) features |= kEventIdx;
  if (choice & 4) features |= kIndirectDesc;
  if (choice & 8) features |= kVersion1 | kInOrder;
  if (choice & 16) features |= kMrgRxbuf;
  if (choice & 32) features |= kHostTso6 | kGuestTso6 | kHostUso | kHostEcn;
  return features;
}

struct Device {
  Guest& guest;
  TxQueue tx;
  RxQueue rx;
  std::unique_ptr<ChainBatch> batch = std::make_unique<ChainBatch>();
  TxPacket packets[kMaxFetch];
  uint8_t frame[3000] = {};
  size_t work = 0;

  void transmit(size_t most, size_t accept) {
    const size_t count = tx.fetch(*batch, std::span(packets).first(most));
    for (size_t i = 0; i < count; i++) {
      uint64_t bytes = 0;
      for (const Piece& piece : packets[i].frame) {
        require(guest.holds(piece), "a piece to send lies in guest memory");
        bytes += piece.bytes;
        work += piece.at[piece.bytes - 1];
      }
      require(bytes == packets[i].bytes, "the pieces make up the frame");
      require(bytes >= kMinFrameBytes && bytes <= kMaxFrameBytes, "frames have a frame's length");
      const vale::VnetHdr& hdr = packets[i].hdr;
      if (hdr.flags) require(hdr.csum_start + hdr.csum_offset + 2u <= bytes, "a checksum lies in its frame");
    }
    (void)tx.complete(count < accept ? count : accept);
  }
  void receive(size_t bytes, int times) {
    const RxQueue::Source whole(frame, bytes);
    const RxQueue::Source sources[] = {whole.first(bytes / 3), whole.subspan(bytes / 3)};
    for (int i = 0; i < times; i++) {
      const vale::VnetHdr hdr{frame[0], frame[1], frame[2], frame[3], frame[4], frame[5]};
      if (rx.deliver(*batch, hdr, sources) != Delivery::kDone) break;
    }
    (void)rx.finish();
  }
  void step(uint8_t what) {
    switch (what & 7) {
      case 0:
        return transmit(kMaxFetch, kMaxFetch);
      case 1:
        return transmit((what >> 3) + 1u, what >> 5);
      case 2:
        return receive(60, 40);
      case 3:
        return receive(14 + (what >> 3) * 90u, 2);
      case 4:
        work += tx.arm();
        return;
      case 5:
        work += rx.arm(*batch);
        return;
      case 6:  // memory unmapped under way, and perhaps back
        require(guest.memory.remove({kRegion, kRegion, kUser + kRegion, kRegion}).has_value(), "remove");
        if (what & 8) {
          transmit(kMaxFetch, kMaxFetch);
          receive(60, 1);
        }
        require(guest.memory.add({kRegion, kRegion, kUser + kRegion, kRegion}, guest.fd.get()).has_value(), "add");
        return;
      default:  // the driver goes on meanwhile
        *guest.memory.at(kDriver + 2, 1) += what >> 3;
        tx.disarm();
        return;
    }
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Guest guest;
  if (size < 5 || size < 5u + data[4]) return 0;
  const uint8_t* image = data + 5 + data[4];
  size_t left = size - 5 - data[4];
  for (uint64_t at = 0; at < kMemory; at += kRegion) {
    uint8_t* const region = guest.memory.at(at, kRegion);
    const size_t step = left < kRegion ? left : kRegion;
    std::memcpy(region, image, step);
    std::memset(region + step, 0, kRegion - step);
    image += step;
    left -= step;
  }
  RingSetup setup{.features = features_of(data[0]),
                  .size = data[1] % kMaxSize + 1u,
                  .position = data[2] | uint32_t{data[3]} << 8,
                  .descriptors = kUser + kDescriptors,
                  .driver = kUser + kDriver,
                  .device = kUser + kDevice};
  if (!(setup.features & kRingPacked)) setup.size = 1u << data[1] % 5;
  Device device{.guest = guest};
  for (size_t i = 0; i < sizeof device.frame; i++) device.frame[i] = uint8_t(i < 2 ? 0 : i * 7);
  if (device.tx.start(guest.memory, setup) != RingFault::kNone) return 0;
  if (device.rx.start(guest.memory, setup) != RingFault::kNone) return 0;
  for (size_t i = 0; i < data[4]; i++) device.step(data[5 + i]);
  (void)device.tx.ring().position();
  return 0;
}
