// SPDX-License-Identifier: BSD-2-Clause
// Where a frame would go: for programs that are both ends.
#include "unetmap/route.h"

#include "client/state.hh"
#include "vale/fdb.hh"

namespace unetmap::client {
namespace {

Bound* bound_of(int fd) {
  Descriptor* d = peek(fd);
  Bound* bound = d ? d->bound_now() : nullptr;
  return bound && bound->port_entry() && (bound->info.port.generation & 1) ? bound : nullptr;
}

uint64_t id_of(uint32_t generation, uint32_t index) { return uint64_t{generation} << 32 | index; }

void add(std::atomic<uint64_t>& counter, uint64_t n) {
  counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

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
  PortEntry* self = bound->port_entry();
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
  auto* tx = reinterpret_cast<TxKring*>(from->region->privates.data() + from->info.port.tx_kring_ofs) + tx_ring;
  auto* rx = reinterpret_cast<RxKring*>(to->region->privates.data() + to->info.port.rx_kring_ofs) + rx_ring;
  add(tx->packets, packets);
  add(tx->bytes, bytes);
  add(rx->packets, packets);
  add(rx->bytes, bytes);
}
