// SPDX-License-Identifier: BSD-2-Clause
// How late packets come, of which each says when it was to leave: eight bytes behind its addresses and type,
// nanoseconds since some moment that only the sender knows. Looks without sleeping, until COUNT packets have come or
// none for some seconds.
//   bench-arrivals PORT COUNT
// Prints `ready`, then the packets that came, and how much later than the earliest of them, in comparison with what
// they say, the median and the 99.9th percentile were: `packets=N p50_ns=N p999_ns=N`.
#include <libnetmap.h>
#include <net/netmap.h>
#include <net/netmap_user.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

constexpr size_t kStampAt = 14;
constexpr int64_t kPatienceNs = 5'000'000'000;

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// When each packet came, less when it was to leave.
std::vector<int64_t> arrivals(nmport_d* port, size_t count) {
  std::vector<int64_t> out;
  out.reserve(count);
  netmap_ring* ring = NETMAP_RXRING(port->nifp, port->first_rx_ring);
  for (int64_t last = now_ns(); out.size() < count && (out.empty() || now_ns() - last < kPatienceNs);) {
    if (ioctl(port->fd, NIOCRXSYNC, nullptr) < 0) break;
    const int64_t now = now_ns();
    for (; ring->head != ring->tail; ring->head = ring->cur = nm_ring_next(ring, ring->head)) {
      const netmap_slot& slot = ring->slot[ring->head];
      int64_t due = 0;
      if (slot.len < kStampAt + sizeof due || out.size() == count) continue;
      std::memcpy(&due, NETMAP_BUF(ring, slot.buf_idx) + kStampAt, sizeof due);
      out.push_back(now - due);
      last = now;
    }
  }
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  const size_t count = argc == 3 ? std::strtoul(argv[2], nullptr, 10) : 0;
  if (count == 0) {
    std::fprintf(stderr, "usage: bench-arrivals PORT COUNT\n");
    return 2;
  }
  nmport_d* port = nmport_open(argv[1]);
  if (port == nullptr) {
    std::fprintf(stderr, "bench-arrivals: %s cannot be opened\n", argv[1]);
    return 1;
  }
  std::puts("ready");
  std::fflush(stdout);
  std::vector<int64_t> late = arrivals(port, count);
  nmport_close(port);
  std::sort(late.begin(), late.end());
  const auto at = [&](double share) {
    return late.empty() ? 0LL : static_cast<long long>(late[size_t(share * double(late.size() - 1))] - late.front());
  };
  std::printf("packets=%zu p50_ns=%lld p999_ns=%lld\n", late.size(), at(0.5), at(0.999));
}
