// SPDX-License-Identifier: BSD-2-Clause
// clang-format off: the yardstick is kept exactly as it was first measured
// How fast can one process hand Ethernet frames to another through shared memory on this machine?
// The yardstick for the switch's data path: netmap-like rings, one lookup and one learn per frame, one copy, publication in
// batches, wake-up only of a sleeping reader. No locks, no validation, one destination: a real switch pays a little more.
//
//   g++ -O3 -march=native -std=c++20 limit.cc -o limit
//   ./limit vale  LEN TXCPU RXCPU WAIT SPIN SECONDS   WAIT 1: a full destination makes the sender wait; 0: it drops
//   ./limit pipe  LEN TXCPU RXCPU 1    SPIN SECONDS   buffers are exchanged, nothing is copied
//   ./limit ping  LEN CPU_A CPU_B -    SPIN SECONDS   round trip of one frame, each side forwarding its own
// CPU -1: not pinned. SPIN: rounds of pause before sleeping. Prints one line of key=value pairs.
#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace {
constexpr uint32_t kSlots = 1024, kStride = 2048, kBatch = 512;

struct Slot { uint32_t buf; uint16_t len, flags; uint64_t ptr; };
struct Ring {
  alignas(64) std::atomic<uint32_t> head{0};            // written by the producer
  alignas(64) std::atomic<uint32_t> tail{0};            // written by the consumer
  alignas(64) std::atomic<uint32_t> producer_sleeps{0};
  alignas(64) std::atomic<uint32_t> consumer_sleeps{0};
  Slot slot[kSlots];
};
struct Shared {
  Ring tx, rx, back_tx, back_rx;
  alignas(64) std::atomic<uint64_t> table[1024];
  alignas(64) std::atomic<uint64_t> received{0}, sent{0}, dropped{0};
  alignas(64) std::atomic<bool> stop{false};
};

Shared* g;
uint8_t* bufs;
uint32_t frame_len = 60;
int spin = 0;

double now() { timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec * 1e-9; }
void pin(int cpu) { if (cpu < 0) return; cpu_set_t s; CPU_ZERO(&s); CPU_SET(cpu, &s); sched_setaffinity(0, sizeof s, &s); }
uint8_t* buf(uint32_t i) { return bufs + size_t{i} * kStride; }
uint64_t mac(const uint8_t* p) { uint64_t v; memcpy(&v, p, 8); return v & 0xffffffffffffull; }
uint32_t bucket(uint64_t m) { return (m * 0x9E3779B97F4A7C15ull) >> 54; }

void futex_wait(std::atomic<uint32_t>& a) { timespec ts{0, 50'000'000}; syscall(SYS_futex, &a, FUTEX_WAIT, 1, &ts, 0, 0); }
void wake_if_asleep(std::atomic<uint32_t>& a) {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (a.load(std::memory_order_relaxed) && a.exchange(0)) syscall(SYS_futex, &a, FUTEX_WAKE, 1, 0, 0, 0);
}
// Waits until `index` differs from `seen`: spins first, then sleeps with the flag up and a second look.
void wait_for_change(std::atomic<uint32_t>& index, uint32_t seen, std::atomic<uint32_t>& flag) {
  for (int i = 0; i < spin; i++) {
    if (index.load(std::memory_order_acquire) != seen) return;
    __builtin_ia32_pause();
  }
  flag.store(1);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (index.load() != seen || g->stop) { flag.store(0); return; }
  futex_wait(flag);
}

uint32_t forward(Ring& from, Ring& to, bool drop, bool copy) {
  uint32_t h = from.head.load(std::memory_order_acquire), t = from.tail.load(std::memory_order_relaxed);
  uint32_t have = (h - t + kSlots) % kSlots;
  uint32_t rh = to.head.load(std::memory_order_relaxed), rt = to.tail.load(std::memory_order_acquire);
  uint32_t space = (rt + kSlots - 1 - rh) % kSlots, n = have < space ? have : space;
  for (uint32_t i = 0; i < n; i++) {
    Slot& s = from.slot[(t + i) % kSlots];
    Slot& d = to.slot[(rh + i) % kSlots];
    if (copy) {
      uint8_t* p = buf(s.buf);
      if (i + 4 < n) __builtin_prefetch(buf(from.slot[(t + i + 4) % kSlots].buf));
      uint64_t dst = mac(p), src = mac(p + 6);
      if (g->table[bucket(dst)].load(std::memory_order_relaxed) != dst) asm volatile("" ::: "memory");
      auto& learn = g->table[bucket(src)];
      if (learn.load(std::memory_order_relaxed) != src) learn.store(src, std::memory_order_relaxed);
      memcpy(buf(d.buf), p, (s.len + 63) & ~63u);
    } else {
      std::swap(s.buf, d.buf);
    }
    d.len = s.len;
    d.flags = 0;
  }
  to.head.store((rh + n) % kSlots, std::memory_order_release);
  if (drop && have > n) g->dropped.fetch_add(have - n, std::memory_order_relaxed);
  uint32_t done = drop ? have : n;
  from.tail.store((t + done) % kSlots, std::memory_order_release);
  return done;
}

void sender(bool wait, bool copy) {
  uint64_t count = 0;
  Ring &tx = g->tx, &rx = g->rx;
  while (!g->stop) {
    uint32_t h = tx.head.load(std::memory_order_relaxed), t = tx.tail.load(std::memory_order_acquire);
    uint32_t n = (t + kSlots - 1 - h) % kSlots;
    if (n > kBatch) n = kBatch;
    for (uint32_t i = 0; i < n; i++) { Slot& s = tx.slot[(h + i) % kSlots]; s.len = frame_len; s.flags = 0; }
    tx.head.store((h + n) % kSlots, std::memory_order_release);
    count += n;
    uint32_t full_at = rx.tail.load();
    uint32_t moved = forward(tx, rx, !wait, copy);
    wake_if_asleep(rx.consumer_sleeps);
    if (wait && moved == 0 && n == 0) wait_for_change(rx.tail, full_at, rx.producer_sleeps);
  }
  g->sent = count;
}

void receiver(bool wait) {
  uint64_t count = 0;
  Ring& rx = g->rx;
  while (!g->stop) {
    uint32_t h = rx.head.load(std::memory_order_acquire), t = rx.tail.load(std::memory_order_relaxed);
    uint32_t n = (h - t + kSlots) % kSlots;
    if (n == 0) { wait_for_change(rx.head, t, rx.consumer_sleeps); continue; }
    uint32_t sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += rx.slot[(t + i) % kSlots].len;
    asm volatile("" ::"r"(sum));
    rx.tail.store((t + n) % kSlots, std::memory_order_release);
    g->received.store(count += n, std::memory_order_relaxed);
    if (wait) wake_if_asleep(rx.producer_sleeps);
  }
}

void send_one(Ring& tx, Ring& peer) {
  uint32_t h = tx.head.load();
  tx.slot[h].len = frame_len;
  tx.head.store((h + 1) % kSlots, std::memory_order_release);
  forward(tx, peer, true, true);
  wake_if_asleep(peer.consumer_sleeps);
}
void receive_one(Ring& rx) {
  while (!g->stop) {
    uint32_t t = rx.tail.load();
    if (rx.head.load(std::memory_order_acquire) != t) { rx.tail.store((t + 1) % kSlots); return; }
    wait_for_change(rx.head, t, rx.consumer_sleeps);
  }
}

template <class F> void child(int cpu, F body) { if (fork() == 0) { pin(cpu); body(); _exit(0); } }
}  // namespace

int main(int argc, char** argv) {
  if (argc != 8) { fprintf(stderr, "usage: see the head of limit.cc\n"); return 2; }
  const char* mode = argv[1];
  frame_len = atoi(argv[2]);
  int cpu_a = atoi(argv[3]), cpu_b = atoi(argv[4]);
  bool wait = atoi(argv[5]);
  spin = atoi(argv[6]);
  double seconds = atof(argv[7]);

  size_t pool = size_t{4} * kSlots * kStride + 4096;
  g = new (mmap(0, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) Shared;
  bufs = static_cast<uint8_t*>(mmap(0, pool, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  madvise(bufs, pool, MADV_HUGEPAGE);
  Ring* rings[] = {&g->tx, &g->rx, &g->back_tx, &g->back_rx};
  for (uint32_t k = 0; k < 4; k++)
    for (uint32_t i = 0; i < kSlots; i++) {
      rings[k]->slot[i].buf = k * kSlots + i;
      uint8_t* p = buf(k * kSlots + i);
      memset(p, 0x10 + k, 6);
      memset(p + 6, 0x20 + k, kStride - 6);
    }

  if (!strcmp(mode, "ping")) {
    child(cpu_b, [] { while (!g->stop) { receive_one(g->rx); send_one(g->back_tx, g->back_rx); } });
    child(cpu_a, [] {
      for (uint64_t n = 0; !g->stop; g->received = ++n) { send_one(g->tx, g->rx); receive_one(g->back_rx); }
    });
  } else {
    bool copy = !strcmp(mode, "vale");
    child(cpu_b, [=] { receiver(wait); });
    child(cpu_a, [=] { sender(wait, copy); });
  }
  usleep(300'000);
  uint64_t n0 = g->received;
  double t0 = now();
  usleep(seconds * 1e6);
  uint64_t n = g->received - n0;
  double dt = now() - t0;
  g->stop = true;
  while (::wait(nullptr) > 0) {}
  rusage ru;
  getrusage(RUSAGE_CHILDREN, &ru);
  double cpu = ru.ru_utime.tv_sec + ru.ru_utime.tv_usec * 1e-6 + ru.ru_stime.tv_sec + ru.ru_stime.tv_usec * 1e-6;
  if (!strcmp(mode, "ping"))
    printf("mode=ping len=%u rtt_us=%.2f\n", frame_len, dt / n * 1e6);
  else
    printf("mode=%s len=%u mpps=%.2f gbps=%.1f lost_percent=%.1f cpu_ns_per_packet=%.1f\n", mode, frame_len, n / dt / 1e6,
           n / dt * frame_len * 8 / 1e9, 100.0 * g->dropped / (g->sent + 1.0), cpu * 1e9 / g->received);
}
