// SPDX-License-Identifier: BSD-2-Clause
// Round trip of one cache line between two CPUs, in nanoseconds: the witness of where the host runs this machine's
// virtual CPUs. Taken before and after each measurement that spans two CPUs.
//   bench-c2c CPU_A CPU_B [ROUNDS]
#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace {
constexpr long kDefaultRounds = 100'000;

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

void await(const Line& line, uint64_t round) {
  while (line.value.load(std::memory_order_acquire) < round) {
  }
}
}  // namespace

int main(int argc, char** argv) {
  if (argc < 3 || argc > 4) {
    std::fprintf(stderr, "usage: bench-c2c CPU_A CPU_B [ROUNDS]\n");
    return 2;
  }
  const int cpu_a = std::atoi(argv[1]), cpu_b = std::atoi(argv[2]);
  const uint64_t rounds = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : kDefaultRounds;
  if (rounds == 0 || cpu_a == cpu_b || !pin(cpu_a)) {
    std::fprintf(stderr, "bench-c2c: need two different CPUs this process may use, and at least one round\n");
    return 1;
  }
  std::atomic<int> answerer{0};
  std::thread other([&] {
    const bool pinned = pin(cpu_b);
    answerer.store(pinned ? 1 : -1, std::memory_order_release);
    for (uint64_t i = 1; pinned && i <= rounds; i++) {
      await(ping, i);
      pong.value.store(i, std::memory_order_release);
    }
  });
  while (answerer.load(std::memory_order_acquire) == 0) std::this_thread::yield();
  if (answerer.load() < 0) {
    other.join();
    std::fprintf(stderr, "bench-c2c: CPU %d is not available to this process\n", cpu_b);
    return 1;
  }
  const auto start = std::chrono::steady_clock::now();
  for (uint64_t i = 1; i <= rounds; i++) {
    ping.value.store(i, std::memory_order_release);
    await(pong, i);
  }
  const std::chrono::duration<double, std::nano> spent = std::chrono::steady_clock::now() - start;
  other.join();
  std::printf("%.1f\n", spent.count() / static_cast<double>(rounds));
}
