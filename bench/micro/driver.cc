// SPDX-License-Identifier: BSD-2-Clause
// Our own virtio-net driver alone, in one thread: what a packet costs in its two queues, over rings whose device does
// as little as a device can (each buffer is used as soon as it is available, in order).
//   build/bin/bench-micro --benchmark_filter=driver
#include <benchmark/benchmark.h>
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <vector>

#include "driver/virtio_net/rings.hh"

namespace unetmap::driver {
namespace {

constexpr uint32_t kSlots = 1024, kBatch = 256, kBuffers = 2 * kSlots + 4, kBufSize = 2048, kHeadroom = 256,
                   kFrame = 60;

struct NoRegisters final : Registers {
  uint32_t read(uint32_t, unsigned) override { return 0; }
  void write(uint32_t, uint32_t, unsigned) override {}
};

// A queue's three pages as the device sees them, and its end of the ring.
class IdleDevice {
 public:
  IdleDevice() : pages_(3 * size_t{kPartPages} * kPageBytes + kPageBytes) {
    at_ = pages_.data() + kPageBytes - reinterpret_cast<uintptr_t>(pages_.data()) % kPageBytes;
  }
  VringPages pages() { return {page(0), page(1), page(2)}; }
  void use_all(uint32_t bytes) {
    const uint16_t available = words::load16(page(1) + 2);
    for (; used_ != available; used_++) {
      const uint64_t element = words::load16(page(1) + 4 + 2 * (used_ % kSlots)) | uint64_t{bytes} << 32;
      std::memcpy(page(2) + 4 + 8 * (used_ % kSlots), &element, sizeof element);
    }
    words::store16(page(2) + 2, used_);
  }

 private:
  uint8_t* page(uint32_t number) { return at_ + size_t{number} * kPartPages * kPageBytes; }
  std::vector<uint8_t> pages_;
  uint8_t* at_;
  uint16_t used_ = 0;
};

struct Fixture {
  Fixture() : shared(std::make_unique<Shared>()), slots(kSlots), bufs(size_t{kBuffers} * kBufSize + kHeadroom) {
    shared->model = Model::kVirtioNet;
    shared->descriptors = kSlots;
    shared->most_bytes = UINT16_MAX;
    for (uint32_t i = 0; i < kSlots; i++) {
      shared->pairs[0].tx.free_ids[i] = shared->pairs[0].rx.ids[i] = i;
      slots[i].buf_idx = 2 + i;
      slots[i].len = kFrame;
    }
    shared->pairs[0].tx.free_count = kSlots;
    addresses.resize(bufs.size() / kPageBytes + 1);
    std::iota(addresses.begin(), addresses.end(), 1);
    for (uint64_t& address : addresses) address *= kPageBytes;
  }
  Ring ring() {
    return {slots.data(),
            kSlots,
            0,
            {bufs.data() + kHeadroom, kBuffers, kBufSize, kHeadroom, addresses.data(), addresses.size()}};
  }
  NoRegisters registers;
  IdleDevice device;
  std::unique_ptr<Shared> shared;
  std::vector<netmap_slot> slots;
  std::vector<uint8_t> bufs;
  std::vector<uint64_t> addresses;
};

void driver_virtio_tx(benchmark::State& state) {
  Fixture f;
  auto queue = virtio_tx(f.registers, *f.shared, 0, f.device.pages(), f.ring());
  Tally tally;
  uint32_t hwcur = 0, hwtail = kSlots - 1, head = 0;
  for (auto _ : state) {
    head = (head + kBatch) % kSlots;
    queue->sync(tally, hwcur, hwtail, head, false);
    f.device.use_all(0);
  }
  if (tally.packets < uint64_t(state.iterations() - 1) * kBatch) std::abort();
  state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(driver_virtio_tx);

void driver_virtio_rx(benchmark::State& state) {
  Fixture f;
  auto queue = virtio_rx(f.registers, *f.shared, 0, f.device.pages(), f.ring());
  Tally tally;
  uint32_t head = 0, tail = 0;
  for (auto _ : state) {
    queue->sync(tally, head, tail, false);
    head = tail;
    f.device.use_all(12 + kFrame);
  }
  state.SetItemsProcessed(int64_t(tally.packets));
}
BENCHMARK(driver_virtio_rx);

}  // namespace
}  // namespace unetmap::driver
