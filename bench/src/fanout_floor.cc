// SPDX-License-Identifier: BSD-2-Clause
// What the memory alone takes of a broadcast's cost: the same bytes written to the same number of rings and buffers, in
// the same order and layout as bench-fanout has them, by plain copies without a switch.
//   bench-fanout-floor COUNT FRAME_LENGTH SECONDS
// Prints one line of key=value pairs; copy_ns is for each copy.
#include <sys/mman.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {
using Clock = std::chrono::steady_clock;
constexpr uint32_t kBatch = 128, kSlots = 1024, kStride = 2048, kCacheLine = 64;
constexpr double kWarmUpSeconds = 0.2;

struct Slot {
  uint32_t buffer;
  uint16_t length, flags;
  uint64_t pointer;
};

// A receiver's ring and buffers, each region a mapping of its own as ports have them.
struct Region {
  Slot* slots;
  uint8_t* buffers;
  uint32_t next = 0;
};

void* map_shared(size_t bytes) {
  void* map = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (map != MAP_FAILED) return map;
  std::perror("bench-fanout-floor: map memory for a port");
  std::exit(1);
}

Region make_region() {
  Region region{static_cast<Slot*>(map_shared(kSlots * sizeof(Slot))),
                static_cast<uint8_t*>(map_shared(size_t{kSlots} * kStride))};
  for (uint32_t i = 0; i < kSlots; i++) region.slots[i].buffer = i;
  return region;
}

uint64_t copy_batch(const Region& source, uint32_t from, Region& target, uint16_t length) {
  const uint32_t whole_lines = (length + kCacheLine - 1) / kCacheLine * kCacheLine;
  for (uint32_t i = 0; i < kBatch; i++) {
    const Slot& out = source.slots[(from + i) % kSlots];
    Slot& in = target.slots[target.next];
    std::memcpy(target.buffers + size_t{in.buffer} * kStride, source.buffers + size_t{out.buffer} * kStride,
                whole_lines);
    in.length = length;
    in.flags = 0;
    target.next = (target.next + 1) % kSlots;
  }
  return kBatch;
}
}  // namespace

int main(int argc, char** argv) {
  const int count = argc == 4 ? std::atoi(argv[1]) : 0;
  const int length = argc == 4 ? std::atoi(argv[2]) : 0;
  const double seconds = argc == 4 ? std::atof(argv[3]) : 0;
  if (count <= 0 || length < 14 || length > 2048 || seconds <= 0) {
    std::fprintf(stderr, "usage: bench-fanout-floor COUNT FRAME_LENGTH SECONDS\n");
    return 2;
  }
  Region source = make_region();
  std::memset(source.buffers, 0x5a, size_t{kSlots} * kStride);
  std::vector<Region> targets;
  for (int i = 0; i < count; i++) targets.push_back(make_region());
  uint64_t copies = 0;
  std::chrono::duration<double> spent{};
  for (const double span : {kWarmUpSeconds, seconds}) {
    copies = 0;
    const auto start = Clock::now();
    do {
      for (Region& target : targets) copies += copy_batch(source, source.next, target, static_cast<uint16_t>(length));
      source.next = (source.next + kBatch) % kSlots;
      spent = Clock::now() - start;
    } while (spent.count() < span);
  }
  std::printf("ports=%d copies=%llu copy_ns=%.2f\n", count, static_cast<unsigned long long>(copies),
              spent.count() * 1e9 / static_cast<double>(copies));
}
