// SPDX-License-Identifier: BSD-2-Clause
// Where a frame would go: for programs that are both ends.
#include "unetmap/route.h"

#include <new>
#include <type_traits>

#include "base/count.hh"
#include "client/descriptor/calls.hh"
#include "client/descriptor/descriptor.hh"
#include "client/link/clock.hh"
#include "vale/fdb.hh"
#include "vale/monitors.hh"

namespace unetmap::client {
namespace {

Bound* bound_of(int fd) {
  Descriptor* d = peek(fd);
  Bound* bound = d ? d->bound_now() : nullptr;
  return bound && bound->entry() && (bound->info.port.generation & 1) ? bound : nullptr;
}

uint64_t id_of(uint32_t generation, uint32_t index) { return uint64_t{generation} << 32 | index; }

// unetmap_router's own words.
class Router {
 public:
  explicit Router(int fd) {
    Bound* bound = bound_of(fd);
    if (!bound) return;
    SwitchShared* shared = bound->sw->shared();
    const PortEntry* self = bound->entry();
    // What a fence, rules or a tap have to see goes by the switch.
    if ((shared->tap.load(std::memory_order_relaxed) | shared->rules.load(std::memory_order_relaxed)) != 0 ||
        self->flags.load(std::memory_order_relaxed) & kPortFenced || self->group.load(std::memory_order_relaxed) != 0)
      return;
    shared_ = shared;
    now_s_ = uint32_t(coarse_ms() / 1000);
    generation_ = bound->info.port.generation;
    index_ = uint16_t(bound->info.port.index);
    header_len_ = self->header_len.load(std::memory_order_relaxed);
    watched_ = vale::watched(*self);
  }

  uint64_t find(const unsigned char* addresses) {
    if (!shared_) return 0;
    const uint64_t to = vale::load_mac(addresses), from = vale::load_mac(addresses + 6);
    vale::Fdb fdb(shared_);
    if (from != learned_) {
      if (!vale::is_multicast(from)) fdb.learn(from, index_, generation_, now_s_);
      learned_ = from;
    }
    if (vale::is_multicast(to) || watched_) return 0;
    const uint16_t port = fdb.look_up(to, now_s_);
    if (port >= kMaxPorts || port == index_) return 0;
    const PortEntry& other = shared_->port[port];
    const uint32_t generation = other.generation.load(std::memory_order_acquire);
    if (!(generation & 1) || vale::watched(other) || other.header_len.load(std::memory_order_relaxed) != header_len_)
      return 0;
    return id_of(generation, port);
  }

  void expect(const unsigned char* addresses) const {
    if (shared_) vale::Fdb(shared_).ask_for(vale::load_mac(addresses));
  }

 private:
  SwitchShared* shared_ = nullptr;  // none: all goes by the switch
  uint64_t learned_ = UINT64_MAX;   // the source that was learned last
  uint32_t now_s_ = 0, generation_ = 0;
  uint16_t index_ = 0;
  uint16_t header_len_ = 0;
  bool watched_ = false;
};
static_assert(sizeof(Router) <= sizeof(unetmap_router));
static_assert(alignof(Router) <= alignof(unetmap_router));
static_assert(std::is_trivially_destructible_v<Router>);

}  // namespace
}  // namespace unetmap::client

using namespace unetmap;
using namespace unetmap::client;

extern "C" uint64_t unetmap_port_id(int fd) {
  Bound* bound = bound_of(fd);
  return bound ? id_of(bound->info.port.generation, bound->info.port.index) : 0;
}

extern "C" void unetmap_router_begin(unetmap_router* router, int fd) { new (router) Router(fd); }

extern "C" uint64_t unetmap_router_find(unetmap_router* router, const unsigned char* addresses) {
  return std::launder(reinterpret_cast<Router*>(router))->find(addresses);
}

extern "C" void unetmap_router_expect(const unetmap_router* router, const unsigned char* addresses) {
  std::launder(reinterpret_cast<const Router*>(router))->expect(addresses);
}

extern "C" uint64_t unetmap_route(int fd, const unsigned char* addresses) { return Router(fd).find(addresses); }

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
