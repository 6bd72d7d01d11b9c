// SPDX-License-Identifier: BSD-2-Clause
// The rings of virtual machines alone, in one thread: what a packet costs in TxQueue and RxQueue, copy included, with a
// driver beside that does as little as a driver can (descriptors prepared once, availability renewed batch by batch).
//   build/bin/bench-micro --benchmark_filter=vring
#include <benchmark/benchmark.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <vector>

#include "dev/virtio_net/rx_queue.hh"
#include "dev/virtio_net/tx_queue.hh"
#include "guest/words.hh"

namespace unetmap::virtio {
namespace {

constexpr uint32_t kSize = 256, kBatch = 32, kStride = 2048;
constexpr uint64_t kUser = 1ull << 40, kMemory = 4 << 20, kDriverAt = 0x4000, kDeviceAt = 0x8000, kBuffersAt = 0x100000;
constexpr uint64_t kFeatures = kVersion1 | kMrgRxbuf | kEventIdx;

// A ring whose slot i always holds buffer i.
class Driver {
 public:
  Driver(uint64_t features, uint32_t bytes, bool writable) : packed_(features & kRingPacked), write_(writable ? 2 : 0) {
    fd_ = UniqueFd(memfd_create("guest", MFD_CLOEXEC));
    if (ftruncate(fd_.get(), kMemory) < 0 || !memory.add({0, kMemory, kUser, 0}, fd_.get())) std::abort();
    at_ = memory.at(0, kMemory);
    std::memset(at_, 0, kMemory);
    for (uint32_t i = 0; i < kSize; i++) {
      const uint64_t address = kBuffersAt + uint64_t{i} * kStride;
      std::memcpy(at_ + 16 * i, &address, 8);
      std::memcpy(at_ + 16 * i + 8, &bytes, 4);
      if (!packed_) std::memcpy(at_ + 16 * i + 12, &write_, 2);
      if (!packed_) store_relaxed16(at_ + kDriverAt + 4 + 2 * i, static_cast<uint16_t>(i));
    }
    setup = {.features = features,
             .size = kSize,
             .position = 0x8000,
             .descriptors = kUser,
             .driver = kUser + kDriverAt,
             .device = kUser + kDeviceAt};
    bytes_ = bytes;
  }
  // The next kBatch buffers are available (again).
  void offer() {
    if (!packed_) {
      next_ = static_cast<uint16_t>(next_ + kBatch);
      store_release16(at_ + kDriverAt + 2, next_);
      return;
    }
    const uint32_t slot = next_ % kSize;
    const bool wrap = next_ / kSize % 2 == 0;
    for (uint32_t i = slot + kBatch; i-- > slot;) {
      store_relaxed32(at_ + 16 * i + 8, bytes_);
      store_relaxed16(at_ + 16 * i + 12, static_cast<uint16_t>(i));
      store_release16(at_ + 16 * i + 14, static_cast<uint16_t>((wrap ? 1 << 7 : 1 << 15) | write_));
    }
    next_ = static_cast<uint16_t>(next_ + kBatch);
  }

  guest::GuestMemory memory;
  RingSetup setup;

 private:
  UniqueFd fd_;
  uint8_t* at_;
  bool packed_;
  uint16_t write_;
  uint16_t next_ = 0;
  uint32_t bytes_ = 0;
};

void vring_tx(benchmark::State& state) {
  const auto bytes = static_cast<uint32_t>(state.range(1));
  Driver driver(kFeatures | (state.range(0) ? kRingPacked : 0), bytes + 12, false);
  TxQueue queue;
  if (queue.start(driver.memory, driver.setup) != RingFault::kNone) std::abort();
  auto batch = std::make_unique<ChainBatch>();
  std::vector<uint8_t> slots(size_t{kSize} * kStride);
  TxPacket packets[kMaxFetch];
  uint32_t slot = 0;
  for (auto _ : state) {
    driver.offer();
    const size_t count = queue.fetch(*batch, packets);
    for (size_t i = 0; i < count; i++) {
      uint8_t* to = slots.data() + size_t{slot} * kStride;
      std::memcpy(to, &packets[i].hdr, sizeof packets[i].hdr);
      to += 12;
      for (const Piece& piece : packets[i].frame) {
        std::memcpy(to, piece.at, piece.bytes);
        to += piece.bytes;
      }
      slot = (slot + 1) % kSize;
    }
    benchmark::DoNotOptimize(queue.complete(count));
    if (count != kBatch) std::abort();
  }
  state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(vring_tx)->ArgNames({"packed", "bytes"})->ArgsProduct({{0, 1}, {60, 1514}});

void vring_rx(benchmark::State& state) {
  const auto bytes = static_cast<size_t>(state.range(1));
  Driver driver(kFeatures | (state.range(0) ? kRingPacked : 0), 1526, true);
  RxQueue queue;
  if (queue.start(driver.memory, driver.setup) != RingFault::kNone) std::abort();
  auto batch = std::make_unique<ChainBatch>();
  const std::vector<uint8_t> slots(size_t{kSize} * kStride, 7);
  uint32_t slot = 0;
  for (auto _ : state) {
    driver.offer();
    for (uint32_t i = 0; i < kBatch; i++) {
      const RxQueue::Source source[] = {{slots.data() + size_t{slot} * kStride, bytes}};
      if (queue.deliver(*batch, {}, source) != Delivery::kDone) std::abort();
      slot = (slot + 1) % kSize;
    }
    benchmark::DoNotOptimize(queue.finish());
  }
  state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(vring_rx)->ArgNames({"packed", "bytes"})->ArgsProduct({{0, 1}, {60, 1514}});

}  // namespace
}  // namespace unetmap::virtio
