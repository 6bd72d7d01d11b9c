// SPDX-License-Identifier: BSD-2-Clause
// Checksums of received frames, which lie in several pieces: SDM 3.2.9, and the CRC that Ethernet puts behind a frame.
#pragma once

#include <cstdint>
#include <span>

namespace unetmap::e1000 {

using Pieces = std::span<const std::span<const uint8_t>>;

// One's complement sum of the bytes from `from` up to `to` of a frame, as vale::checksum_add's.
[[nodiscard]] uint64_t sum_of(Pieces pieces, uint32_t from, uint32_t to) noexcept;

// IEEE 802.3, 3.2.9: as it stands behind the frame, the first byte lowest.
[[nodiscard]] uint32_t crc_of(Pieces pieces) noexcept;

// What a receive descriptor says of a frame's checksums: status and errors.
struct RxChecksum {
  static constexpr uint8_t kIxsm = 0x04, kTcpcs = 0x20, kIpcs = 0x40;  // status
  static constexpr uint8_t kTcpe = 0x20, kIpe = 0x40;                  // errors

  uint8_t status = kIxsm;
  uint8_t errors = 0;
  uint16_t packet = 0;  // the packet checksum, as a number
};

// `rxcsum` is the register; `trusted`: whoever handed the frame over vouches for its transport checksum.
[[nodiscard]] RxChecksum check_received(Pieces pieces, uint32_t bytes, uint32_t rxcsum, bool trusted) noexcept;

}  // namespace unetmap::e1000
