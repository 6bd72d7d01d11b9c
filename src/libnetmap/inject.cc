// SPDX-License-Identifier: BSD-2-Clause
// Sending by copy; the ring work is the pcap-like interface's.
#define NETMAP_WITH_LIBS
#include <net/netmap_user.h>

#include "libnetmap/internal.hh"

extern "C" int nmport_inject(nmport_d* port, const void* buf, size_t size) noexcept {
  unsigned rings = port->last_tx_ring - port->first_tx_ring + 1U;
  unsigned index = port->cur_tx_ring;
  for (; rings > 0; --rings, ++index) {
    if (index > port->last_tx_ring) index = port->first_tx_ring;
    if (nm_ring_put_(NETMAP_TXRING(port->nifp, index), static_cast<const char*>(buf), size) == 0) {
      port->cur_tx_ring = static_cast<uint16_t>(index);
      return static_cast<int>(size);
    }
  }
  return 0;
}
