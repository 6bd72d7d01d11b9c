// SPDX-License-Identifier: BSD-2-Clause
// What the port's statistics say of a device, from the outside; the registers that a driver reads are in statistics.hh.
// "Transmit" and "receive" are the guest's.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace unetmap::e1000 {

// Why a packet was lost or not taken.
enum class Drop : uint8_t {
  kTxTooLong,       // more than the card sends
  kTxTooShort,      // less than an Ethernet header
  kTxOffload,       // a context that fits no frame: segments of no payload, checksums outside of it, ...
  kTxLinkDown,      // the cable is out
  kTxLoopbackFull,  // sent to itself without a buffer to receive it
  kRxDisabled,      // the receiver or bus mastering is off, or the cable out
  kRxFiltered,      // by address or VLAN
  kRxTooLong,       // more than the driver has allowed, or than the whole ring holds
  kRxTooShort,      // less than an Ethernet header
  kRxConvert,       // a large frame that cannot be cut
  kRxNoBuffers,     // missed(), and segments of a large frame that found no buffer
};
inline constexpr size_t kDrops = static_cast<size_t>(Drop::kRxNoBuffers) + 1;
// As in statistics: "lost_no_buffers".
[[nodiscard]] const char* counter_name(Drop cause) noexcept;

struct Counters {
  uint64_t rx_packets = 0;  // as the driver got them: segments
  uint64_t rx_bytes = 0;
  uint64_t tx_packets = 0;  // as fetch() gave them: large ones whole
  uint64_t tx_bytes = 0;
  uint64_t register_reads = 0;
  uint64_t register_writes = 0;  // kicks among them
  uint64_t odd_accesses = 0;     // of registers, with a width or at an address that the manual forbids
  uint64_t tx_kicks = 0;         // writes to TDT
  uint64_t rx_kicks = 0;         // writes to RDT
  uint64_t interrupts = 0;       // times that the line was asserted, and vectors
  uint64_t resets = 0;
  uint64_t faults = 0;
  std::array<uint64_t, kDrops> dropped{};

  void drop(Drop cause, uint64_t count = 1) noexcept { dropped[static_cast<size_t>(cause)] += count; }
};

}  // namespace unetmap::e1000
