// SPDX-License-Identifier: BSD-2-Clause
#include "dump.hh"

#include <fmt/core.h>
#include <net/netmap.h>

#include <algorithm>
#include <cctype>
#include <string>

namespace unetmap::pktgen {

void dump_bytes(FILE* to, const uint8_t* data, uint32_t bytes) {
  for (uint32_t row = 0; row < bytes; row += 16) {
    uint32_t in_row = std::min(16u, bytes - row);
    std::string hex, text;
    for (uint32_t i = 0; i < in_row; i++) {
      hex += fmt::format("{:02x} ", data[row + i]);
      text += isprint(data[row + i]) ? char(data[row + i]) : '.';
    }
    fprintf(to, "%5u: %-48s%s\n", row, hex.c_str(), text.c_str());
  }
}

void dump_slot(FILE* to, const netmap_ring* ring, uint32_t index, const uint8_t* data, uint32_t bytes) {
  const netmap_slot& slot = ring->slot[index];
  fprintf(to, "ring %u cur %5u [buf %6u flags 0x%04x len %5u]\n", unsigned(ring->ringid), index, slot.buf_idx,
          unsigned(slot.flags), bytes);
  dump_bytes(to, data, bytes);
}

}  // namespace unetmap::pktgen
