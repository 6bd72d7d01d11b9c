// SPDX-License-Identifier: BSD-2-Clause
#include "worker.hh"

#include <fmt/core.h>
#include <net/netmap_user.h>
#include <sys/ioctl.h>

#include "log.hh"
#include "pacer.hh"

namespace unetmap::pktgen {
namespace {

// A sender that was told to end waits no longer for a receiver that takes nothing.
constexpr uint64_t kStuckNs = 200'000'000;

}  // namespace

Worker::Wait Worker::not_ready(int got, short events) {
  if (got == 0 || (got < 0 && errno == EINTR)) return Wait::idle;
  if (port) {
    failure = port->failure();
  } else if (got < 0) {
    failure = fmt::format("{}: poll: {}", run.options.interface, strerror(errno));
  } else {
    failure = fmt::format("{}: the device went away (poll events {:#x})", run.options.interface, unsigned(events));
  }
  return Wait::failed;
}

bool Worker::wait_for_first_packet() {
  bool told = false;
  while (!cancelled()) {
    switch (wait_for(POLLIN, 1000)) {
      case Wait::ready:
        run.packets_came.store(true, std::memory_order_relaxed);
        return true;
      case Wait::failed:
        return false;
      case Wait::idle:
        if (run.options.exit_when_idle && run.packets_came.load(std::memory_order_relaxed)) return true;
        if (!told) say(fmt::format("{}: waiting for initial packets", run.options.interface));
        told = true;
    }
  }
  return false;
}

bool Worker::sync(unsigned long request) {
  if (ioctl(port->fd(), request, nullptr) == 0 || errno == EINTR || errno == EAGAIN) return true;
  failure = port->failure();
  return false;
}

namespace {

// Slots of all rings that have not come back; their wake-up points are set to where poll sleeps until more do.
uint64_t pending_slots(Worker& w) {
  uint64_t pending = 0;
  for (uint32_t i = 0; i < w.port->tx_rings(); i++) {
    netmap_ring* ring = w.port->tx_ring(i);
    ring->cur = ring->tail;
    pending += (ring->head + ring->num_slots - nm_ring_next(ring, ring->tail)) % ring->num_slots;
  }
  return pending;
}

}  // namespace

void drain_tx(Worker& w) {
  if (!w.sync(NIOCTXSYNC)) return;
  uint64_t last = UINT64_MAX, moved_ns = now_ns();
  while (uint64_t pending = pending_slots(w)) {
    if (pending != last) moved_ns = now_ns();
    last = pending;
    if (w.cancelled() && now_ns() - moved_ns > kStuckNs) return;
    // The timeout covers slots that come back without moving past a wake-up point just set.
    if (w.wait_for(POLLOUT, 20) == Worker::Wait::failed) return;
  }
}

}  // namespace unetmap::pktgen
