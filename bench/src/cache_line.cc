// SPDX-License-Identifier: BSD-2-Clause
// Round trip of one cache line between two CPUs, in nanoseconds: the witness of where the host runs this machine's
// virtual CPUs. Taken before and after each measurement that spans two CPUs.
//   bench-c2c CPU_A CPU_B
// Measures short series for a tenth of a second and prints the median series, so that a series in which another program
// had one of the CPUs does not count.
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

namespace {
constexpr uint64_t kSeriesRounds = 200, kMaxSeries = 2000;
constexpr std::chrono::milliseconds kEnough{100};

struct Line {
  alignas(128) std::atomic<uint64_t> value{0};
};
Line ping, pong;

bool pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  return pthread_setaffinity_np(pthread_self(), sizeof set, &set) == 0;
}

std::atomic<bool> done{false};

bool await(const Line& line, uint64_t round) {
  while (line.value.load(std::memory_order_acquire) < round)
    if (done.load(std::memory_order_relaxed)) return false;
  return true;
}

void answer() {
  for (uint64_t round = 1; await(ping, round); round++) pong.value.store(round, std::memory_order_release);
}

// Nanoseconds a round of each series.
std::vector<double> measure() {
  using Clock = std::chrono::steady_clock;
  std::vector<double> series;
  uint64_t round = 0;
  const auto begun = Clock::now();
  for (auto start = begun; series.size() < kMaxSeries && start - begun < kEnough;) {
    for (uint64_t i = 0; i < kSeriesRounds; i++) {
      ping.value.store(++round, std::memory_order_release);
      await(pong, round);
    }
    const auto end = Clock::now();
    series.push_back(std::chrono::duration<double, std::nano>(end - start).count() / kSeriesRounds);
    start = end;
  }
  return series;
}
}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: bench-c2c CPU_A CPU_B\n");
    return 2;
  }
  const int cpu_a = std::atoi(argv[1]), cpu_b = std::atoi(argv[2]);
  if (cpu_a == cpu_b || !pin(cpu_a)) {
    std::fprintf(stderr, "bench-c2c: need two different CPUs that this process may use\n");
    return 1;
  }
  std::atomic<int> answerer{0};
  std::thread other([&] {
    const bool pinned = pin(cpu_b);
    answerer.store(pinned ? 1 : -1, std::memory_order_release);
    if (pinned) answer();
  });
  while (answerer.load(std::memory_order_acquire) == 0) std::this_thread::yield();
  std::vector<double> series;
  if (answerer.load() > 0) series = measure();
  done.store(true);
  other.join();
  if (series.empty()) {
    std::fprintf(stderr, "bench-c2c: CPU %d is not available to this process\n", cpu_b);
    return 1;
  }
  std::nth_element(series.begin(), series.begin() + series.size() / 2, series.end());
  std::printf("%.1f\n", series[series.size() / 2]);
}
