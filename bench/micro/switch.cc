// SPDX-License-Identifier: BSD-2-Clause
// Microbenchmarks of the parts of the switch's data path, with Google Benchmark: for finding which part a change made
// slower.
//   build/bin/bench-micro [--benchmark_filter=REGEX]
#include <benchmark/benchmark.h>
#include <sys/mman.h>

#include <cstdlib>
#include <new>
#include <random>
#include <vector>

#include "ring/layout.hh"
#include "vale/checksum.hh"
#include "vale/copy.hh"
#include "vale/fdb.hh"

namespace unetmap {
namespace {

constexpr uint32_t kNow = 1000, kGeneration = 1, kAgeSeconds = 300, kSlots = 1024, kStride = 2048;
constexpr uint16_t kPort = 3;

// A switch's control segment with one live port, in memory that is only touched where used.
class Segment {
 public:
  Segment() {
    void* map =
        mmap(nullptr, sizeof(SwitchShared), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) std::abort();
    shared_ = static_cast<SwitchShared*>(map);
    shared_->fdb_seed.store(0x1234567890abcdef);
    shared_->fdb_age_s.store(kAgeSeconds);
    shared_->port[kPort].generation.store(kGeneration);
  }
  ~Segment() { munmap(shared_, sizeof(SwitchShared)); }
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;
  SwitchShared* get() const { return shared_; }

 private:
  SwitchShared* shared_;
};

// Locally administered unicast addresses, as load_mac() reads them.
std::vector<uint64_t> addresses(size_t count) {
  std::mt19937_64 random(1);
  std::vector<uint64_t> list(count);
  for (uint64_t& mac : list) mac = (random() & 0xfffffffffffcull) | 2;
  return list;
}

void lookup(benchmark::State& state) {
  const Segment segment;
  vale::Fdb fdb(segment.get());
  const auto known = addresses(static_cast<size_t>(state.range(0)));
  for (uint64_t mac : known) fdb.learn(mac, kPort, kGeneration, kNow);
  size_t next = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(fdb.lookup(known[next], kNow));
    if (++next == known.size()) next = 0;
  }
}
BENCHMARK(lookup)->Arg(1)->Arg(1024)->Arg(65536);

void lookup_unknown(benchmark::State& state) {
  const Segment segment;
  const vale::Fdb fdb(segment.get());
  for (auto _ : state) benchmark::DoNotOptimize(fdb.lookup(0x020000000001, kNow));
}
BENCHMARK(lookup_unknown);

void learn_again(benchmark::State& state) {
  const Segment segment;
  vale::Fdb fdb(segment.get());
  const auto known = addresses(static_cast<size_t>(state.range(0)));
  size_t next = 0;
  for (auto _ : state) {
    fdb.learn(known[next], kPort, kGeneration, kNow);
    if (++next == known.size()) next = 0;
  }
}
BENCHMARK(learn_again)->Arg(1)->Arg(1024)->Arg(65536);

// Ring to ring, as forwarding does: buffers one after another, a stride apart.
void copy(benchmark::State& state) {
  const auto length = static_cast<uint32_t>(state.range(0));
  std::vector<uint8_t> from(size_t{kSlots} * kStride, 1), to(size_t{kSlots} * kStride, 2);
  uint32_t slot = 0;
  for (auto _ : state) {
    const size_t at = size_t{slot} * kStride;
    vale::copy_packet(to.data() + at, from.data() + at, length, kStride, kStride);
    benchmark::ClobberMemory();
    slot = (slot + 1) % kSlots;
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(copy)->Arg(60)->Arg(256)->Arg(1514);

void checksum(benchmark::State& state) {
  const std::vector<uint8_t> bytes(static_cast<size_t>(state.range(0)), 0x5a);
  for (auto _ : state) benchmark::DoNotOptimize(vale::checksum_finish(vale::checksum_add(bytes)));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(checksum)->Arg(20)->Arg(1460)->Arg(65536);

}  // namespace
}  // namespace unetmap

BENCHMARK_MAIN();
