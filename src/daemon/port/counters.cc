// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/port/counters.hh"

#include "daemon/memory/shared_copy.hh"
#include "net/netmap.h"

namespace unetmap::daemon {
namespace {

void lose(PortCounters::Direction& to, const char* cause, uint64_t packets) {
  if (packets == 0) return;
  for (auto& [name, sum] : to.lost)
    if (name == cause) {
      sum += packets;
      return;
    }
  to.lost.emplace_back(cause, packets);
}

// The slots [head, tail) of a ring that are the program's; 0 where that makes no sense.
uint32_t programs_slots(const Port& port, uint64_t ring_ofs, uint32_t slots) {
  constexpr size_t kHead = offsetof(netmap_ring, head), kTail = offsetof(netmap_ring, tail);
  uint32_t words[(kTail - kHead) / sizeof(uint32_t) + 1] = {};
  port.region->read_private(ring_ofs + kHead, words, sizeof words);
  uint32_t head = words[0], tail = words[std::size(words) - 1];
  if (head >= slots || tail >= slots) return 0;
  return tail >= head ? tail - head : tail + slots - head;
}

void add_tx(const Port& port, uint16_t ring, PortCounters::Direction& to) {
  SharedCopy<TxKring> k;
  port.region->read_private(port.info.tx_kring_ofs + ring * sizeof(TxKring), k.data(), sizeof(TxKring));
  to.packets += get(k->packets);
  to.bytes += get(k->bytes);
  to.syncs += get(k->syncs);
  lose(to, "full", get(k->lost_full));
  lose(to, "malformed", get(k->lost_malformed));
  lose(to, "buffer", get(k->lost_buffer));
  lose(to, "indirect", get(k->lost_indirect));
  lose(to, "noport", get(k->lost_noport));
  lose(to, "convert", get(k->lost_convert));
  lose(to, "spoofed", get(k->lost_spoofed));
  lose(to, "isolated", get(k->lost_isolated));
  lose(to, "rate", get(k->lost_rate));
  lose(to, "vlan", get(k->lost_vlan));
  lose(to, "acl", get(k->lost_acl));
  lose(to, "link_local", get(k->lost_link_local));
  uint32_t slots = port.info.tx_slots;
  uint32_t free = programs_slots(port, port.info.tx_ring_ofs + ring * port.info.tx_ring_stride, slots);
  to.slots += slots - 1;
  to.used += slots - 1 - free;
}

void add_rx(const Port& port, uint16_t ring, PortCounters& counters) {
  PortCounters::Direction& to = counters.rx;
  SharedCopy<RxKring> k;
  port.region->read_private(port.info.rx_kring_ofs + ring * sizeof(RxKring), k.data(), sizeof(RxKring));
  to.packets += get(k->packets);
  to.bytes += get(k->bytes);
  to.syncs += get(k->syncs);
  lose(to, "corrupt", get(k->lost_corrupt));
  if (port.info.exchange_stride) {
    SharedCopy<RxExchange> x;
    port.region->read_exchange(port.info.exchange_ofs + ring * port.info.exchange_stride, x.data(), sizeof(RxExchange));
    lose(to, "full", get(x->lost_full));
    lose(to, "oversize", get(x->lost_oversize));
    counters.asleep |= get(x->readers.any) != 0;
    counters.sleeps += get(x->sleeps);
  } else {
    counters.asleep |= get(k->readers.any) != 0;
  }
  uint32_t slots = port.info.rx_slots;
  to.slots += slots - 1;
  to.used += programs_slots(port, port.info.rx_ring_ofs + ring * port.info.rx_ring_stride, slots);
}

}  // namespace

PortCounters count(const Port& port) {
  PortCounters out;
  for (uint16_t ring = 0; ring < port.info.tx_rings; ring++) add_tx(port, ring, out.tx);
  for (uint16_t ring = 0; ring < port.info.rx_rings; ring++) add_rx(port, ring, out);
  return out;
}

}  // namespace unetmap::daemon
