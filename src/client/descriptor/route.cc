// SPDX-License-Identifier: BSD-2-Clause
// Where a frame would go: for programs that are both ends.
#include "unetmap/route.h"

#include "base/count.hh"
#include "client/descriptor/calls.hh"
#include "client/descriptor/descriptor.hh"
#include "client/link/clock.hh"
#include "client/port/monitors.hh"
#include "vale/fdb.hh"

namespace unetmap::client {
namespace {

Bound* bound_of(int fd) {
  Descriptor* d = peek(fd);
  Bound* bound = d ? d->bound_now() : nullptr;
  return bound && bound->entry() && (bound->info.port.generation & 1) ? bound : nullptr;
}

uint64_t id_of(uint32_t generation, uint32_t index) { return uint64_t{generation} << 32 | index; }

}  // namespace
}  // namespace unetmap::client

using namespace unetmap;
using namespace unetmap::client;

extern "C" uint64_t unetmap_port_id(int fd) {
  Bound* bound = bound_of(fd);
  return bound ? id_of(bound->info.port.generation, bound->info.port.index) : 0;
}

extern "C" uint64_t unetmap_route(int fd, const unsigned char* addresses) {
  Bound* bound = bound_of(fd);
  if (!bound) return 0;
  SwitchShared* shared = bound->sw->shared();
  PortEntry* self = bound->entry();
  // What a fence, rules or a tap have to see goes by the switch.
  if ((shared->tap.load(std::memory_order_relaxed) | shared->rules.load(std::memory_order_relaxed)) != 0 ||
      self->flags.load(std::memory_order_relaxed) & kPortFenced || self->group.load(std::memory_order_relaxed) != 0)
    return 0;
  const uint32_t now_s = uint32_t(coarse_ms() / 1000), index = bound->info.port.index;
  const uint64_t to = vale::load_mac(addresses), from = vale::load_mac(addresses + 6);
  vale::Fdb fdb(shared);
  if (!vale::is_multicast(from)) fdb.learn(from, uint16_t(index), bound->info.port.generation, now_s);
  if (vale::is_multicast(to) || monitored(self)) return 0;
  uint16_t port = fdb.lookup(to, now_s);
  if (port >= kMaxPorts || port == index) return 0;
  PortEntry& other = shared->port[port];
  uint32_t generation = other.generation.load(std::memory_order_acquire);
  if (!(generation & 1) || monitored(&other) ||
      other.header_len.load(std::memory_order_relaxed) != self->header_len.load(std::memory_order_relaxed))
    return 0;
  return id_of(generation, port);
}

extern "C" void unetmap_count_routed(int from_fd, unsigned tx_ring, int to_fd, unsigned rx_ring, uint64_t packets,
                                     uint64_t bytes) {
  Bound *from = bound_of(from_fd), *to = bound_of(to_fd);
  if (!from || !to || tx_ring >= from->info.port.tx_rings || rx_ring >= to->info.port.rx_rings) return;
  TxKring* tx = from->tx_kring(from->info.port, tx_ring);
  RxKring* rx = to->rx_kring(to->info.port, rx_ring);
  count(tx->packets, packets);
  count(tx->bytes, bytes);
  count(rx->packets, packets);
  count(rx->bytes, bytes);
}
