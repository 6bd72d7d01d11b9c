// SPDX-License-Identifier: BSD-2-Clause
// How late packets come, of which each says when it was to leave: eight bytes behind its addresses and type,
// nanoseconds since some moment that only the sender knows. Looks without sleeping, until COUNT packets have come or
// none for some seconds.
//   bench-arrivals PORT COUNT [SENDING_PORT INTERVAL_US]
// With a second port it sends them itself, one in an interval: then what is said is how long they were on their way.
// Prints `ready`, then how many came, how late the earliest of them was in comparison with what it says, and how much
// later than that the median and the 99.9th percentile were: `packets=N least_ns=N p50_ns=N p999_ns=N`.
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

constexpr size_t kStampAt = 14, kFrame = 60;
constexpr int64_t kPatienceNs = 5'000'000'000;

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

nmport_d* open_port(const char* name) {
  nmport_d* port = nmport_open(name);
  if (port != nullptr) return port;
  std::fprintf(stderr, "bench-arrivals: %s cannot be opened\n", name);
  std::exit(1);
}

// To everybody.
void send_stamped(nmport_d* port) {
  netmap_ring* ring = NETMAP_TXRING(port->nifp, port->first_tx_ring);
  if (nm_ring_empty(ring)) return;
  netmap_slot& slot = ring->slot[ring->head];
  auto* frame = reinterpret_cast<uint8_t*>(NETMAP_BUF(ring, slot.buf_idx));
  std::memset(frame, 0, kFrame);
  std::memset(frame, 0xff, 6);
  const uint8_t rest[] = {2, 0, 0, 0, 0, 1, 0x88, 0xb5};
  std::memcpy(frame + 6, rest, sizeof rest);
  const int64_t now = now_ns();
  std::memcpy(frame + kStampAt, &now, sizeof now);
  slot.len = kFrame;
  ring->head = ring->cur = nm_ring_next(ring, ring->head);
  ioctl(port->fd, NIOCTXSYNC, nullptr);
}

// When each packet came, less when it was to leave. `from`: where they are sent, if that is ours to do.
std::vector<int64_t> arrivals(nmport_d* port, size_t count, nmport_d* from, int64_t interval_ns) {
  std::vector<int64_t> out;
  out.reserve(count);
  netmap_ring* ring = NETMAP_RXRING(port->nifp, port->first_rx_ring);
  int64_t next = now_ns();
  for (int64_t last = next; out.size() < count && ((out.empty() && !from) || now_ns() - last < kPatienceNs);) {
    if (from && now_ns() >= next) {
      send_stamped(from);
      next += interval_ns;
    }
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
  const size_t count = argc == 3 || argc == 5 ? std::strtoul(argv[2], nullptr, 10) : 0;
  if (count == 0) {
    std::fprintf(stderr, "usage: bench-arrivals PORT COUNT [SENDING_PORT INTERVAL_US]\n");
    return 2;
  }
  nmport_d* port = open_port(argv[1]);
  nmport_d* from = argc == 5 ? open_port(argv[3]) : nullptr;
  std::puts("ready");
  std::fflush(stdout);
  std::vector<int64_t> late = arrivals(port, count, from, argc == 5 ? std::strtol(argv[4], nullptr, 10) * 1000 : 0);
  nmport_close(port);
  if (from) nmport_close(from);
  std::sort(late.begin(), late.end());
  const auto at = [&](double share) {
    return late.empty() ? 0LL : static_cast<long long>(late[size_t(share * double(late.size() - 1))] - late.front());
  };
  std::printf("packets=%zu least_ns=%lld p50_ns=%lld p999_ns=%lld\n", late.size(),
              late.empty() ? 0LL : static_cast<long long>(late.front()), at(0.5), at(0.999));
}
