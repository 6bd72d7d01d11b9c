// SPDX-License-Identifier: BSD-2-Clause
// Waiting until the packets of a port have left.
#include <net/netmap_user.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <time.h>

#include <algorithm>

#include "libnetmap/internal.hh"

namespace {

// Slots that come back behind the wake-up point that was set wake nobody: look again after so long.
constexpr int kLookAgainMs = 20;

int64_t now_ms() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1000000;
}

template <class F>
void each_tx_ring(nmport_d* port, F&& f) {
  for (unsigned i = port->first_tx_ring; i <= port->last_tx_ring; ++i) f(NETMAP_TXRING(port->nifp, i));
}

bool pending(nmport_d* port) {
  bool any = false;
  each_tx_ring(port, [&](netmap_ring* ring) { any = any || nm_tx_pending(ring); });
  return any;
}

// Sleeps until one more slot comes back, for at most so long.
int wait_for_room(nmport_d* port, int timeout_ms) {
  each_tx_ring(port, [](netmap_ring* ring) { ring->cur = ring->tail; });
  pollfd entry{port->fd, POLLOUT, 0};
  const int got = ::poll(&entry, 1, timeout_ms);
  each_tx_ring(port, [](netmap_ring* ring) { ring->cur = ring->head; });
  if (got >= 0 && (entry.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) errno = ENXIO;
  return got < 0 || (entry.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0 ? -1 : 0;
}

}  // namespace

extern "C" int nmport_flush(nmport_d* port, int timeout_ms) noexcept {
  if (port->mmap_done == 0) {
    return libnetmap::fail(port->ctx, EINVAL, "%s: not open: there is nothing to flush", port->hdr.nr_name);
  }
  const int64_t until = now_ms() + timeout_ms;
  for (;;) {
    if (::ioctl(port->fd, NIOCTXSYNC, nullptr) < 0) return -1;
    if (!pending(port)) return 0;
    const int64_t left = timeout_ms < 0 ? kLookAgainMs : until - now_ms();
    if (left <= 0) {
      errno = ETIMEDOUT;
      return -1;
    }
    if (wait_for_room(port, int(std::min<int64_t>(left, kLookAgainMs))) < 0) return -1;
  }
}
