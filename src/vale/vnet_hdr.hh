// SPDX-License-Identifier: BSD-2-Clause
// The virtio-net header that may stand in front of every frame of a port (netmap PORT_HDR: 0, 10 or 12 bytes).
// Source: virtio 1.2, section 5.1.6. Fields are little endian in memory; load and store convert where the host is not.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include "base/copy_once.hh"

namespace unetmap::vale {

struct VnetHdr {
  uint8_t flags;
  uint8_t gso_type;
  uint16_t hdr_len;      // a hint; never trusted here
  uint16_t gso_size;     // bytes of payload a segment carries
  uint16_t csum_start;   // from the start of the frame
  uint16_t csum_offset;  // from csum_start
};
static_assert(sizeof(VnetHdr) == 10 && alignof(VnetHdr) == 2);
static_assert(offsetof(VnetHdr, hdr_len) == 2 && offsetof(VnetHdr, gso_size) == 4);
static_assert(offsetof(VnetHdr, csum_start) == 6 && offsetof(VnetHdr, csum_offset) == 8);

// The 12-byte form (mergeable receive buffers, or any virtio 1.0 device).
struct VnetHdrMrg {
  VnetHdr hdr;
  uint16_t num_buffers;
};
static_assert(sizeof(VnetHdrMrg) == 12 && offsetof(VnetHdrMrg, num_buffers) == 10);

inline constexpr size_t kVnetHdrBytes = sizeof(VnetHdr);
inline constexpr size_t kVnetHdrMrgBytes = sizeof(VnetHdrMrg);

inline constexpr uint8_t kVnetNeedsCsum = 1;  // flags: the checksum field holds the pseudo header's sum only
inline constexpr uint8_t kVnetDataValid = 2;  // flags: the sender of the frame has verified its checksum

inline constexpr uint8_t kGsoNone = 0;
inline constexpr uint8_t kGsoTcp4 = 1;
inline constexpr uint8_t kGsoUdpFragment = 3;  // UFO: one datagram, to be cut into IP fragments
inline constexpr uint8_t kGsoTcp6 = 4;
inline constexpr uint8_t kGsoUdpSegment = 5;  // USO: many datagrams of gso_size bytes
inline constexpr uint8_t kGsoEcn = 0x80;      // or-ed to a TCP type: the TCP header carries CWR

[[nodiscard]] constexpr bool is_vnet_hdr_len(size_t len) {
  return len == 0 || len == kVnetHdrBytes || len == kVnetHdrMrgBytes;
}

// Loaded once into a copy, as the bytes may be in memory that a peer writes. `at` has kVnetHdrBytes or more.
[[nodiscard]] inline VnetHdr load_vnet_hdr(const uint8_t* at) noexcept {
  auto hdr = copy_once<VnetHdr>(at);
  if constexpr (std::endian::native == std::endian::big) {
    for (uint16_t* field : {&hdr.hdr_len, &hdr.gso_size, &hdr.csum_start, &hdr.csum_offset}) {
      *field = static_cast<uint16_t>(*field << 8 | *field >> 8);
    }
  }
  return hdr;
}

}  // namespace unetmap::vale
