// SPDX-License-Identifier: BSD-2-Clause
// Hexadecimal dumps of -X.
#pragma once

#include <cstdint>
#include <cstdio>

struct netmap_ring;

namespace unetmap::pktgen {

// A line about slot `index` of the ring, then the bytes.
void dump_slot(FILE* to, const netmap_ring* ring, uint32_t index, const uint8_t* data, uint32_t bytes);
void dump_bytes(FILE* to, const uint8_t* data, uint32_t bytes);

}  // namespace unetmap::pktgen
