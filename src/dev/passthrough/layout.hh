// SPDX-License-Identifier: BSD-2-Clause
// The memory of a port that is passed through to a guest: what the guest finds in BAR 2 of its ivshmem device, and all
// of the host that it can reach.
//
//   Header     one page   what there is; written by the host before anybody sees it
//   HostBlock  one page   written by the host, read by the guest: the rings' nm_csb_ktoa, and which session it serves
//   GuestBlock one page   written by the guest, read by the host: the rings' nm_csb_atok, and the session it wants
//   slots      of each pair of rings: of the transmit ring, then of the receive ring, seen from the guest; each in
//              whole pages
//   buffers    kBufferBytes apart, up to the end: a power of two, as BARs have it
//
// Rings are netmap's: slots [hwcur, head) of the transmit ring and those from hwtail up to the one before head of the
// receive ring are the host's, who syncs them as a kloop does. A packet may take several slots (NS_MOREFRAG), all of
// which are published together; a slot without bytes that is a packet by itself is none, and is passed over. A slot's
// buf_idx may be that of any buffer from kFirstBuffer on, or kNoBuffer in a receive ring, for bytes that nobody wants;
// ptr and other flags mean nothing. So a guest's netmap buffers are these, and its slots' numbers and those here agree.
// The host is done with the buffers of transmit slots before hwcur, and not earlier.
//
// A session is one driver's time with the rings. It fills in its block as it is to be at the beginning - all indexes 0,
// but for the head of receive rings, which is 1: no slot there is the host's yet -, then writes a new number to
// `session`, and rings; the host begins anew, and answers by the same number. 0: nobody is there.
//
// BAR 0 is ivshmem's own: a write of kDoorbellHost to kDoorbell wakes the host, which wants that where a ring's
// kern_need_kick is not 0: once for each number that stands there, whichever ring it stands at.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "net/netmap.h"

namespace unetmap::passthrough {

inline constexpr uint16_t kVendor = 0x1af4, kDevice = 0x1110;  // of ivshmem
inline constexpr unsigned kRegistersBar = 0, kMemoryBar = 2;
inline constexpr uint32_t kRegistersBytes = 256, kDoorbell = 12;
inline constexpr uint16_t kHostPeer = 0, kGuestPeer = 1;  // ivshmem's names for the two
inline constexpr uint32_t kVectors = 1;                   // of each
inline constexpr uint32_t kDoorbellHost = uint32_t{kHostPeer} << 16;

inline constexpr uint64_t kMagic = 0x3270'616d'7465'6e75;  // "unetmap2"
inline constexpr uint64_t kPage = 4096;
inline constexpr uint32_t kLeastSlots = 16, kMostSlots = 4096, kMostPairs = 8;
inline constexpr uint32_t kBufferBytes = 2112;  // as those of switch ports
inline constexpr uint32_t kNoBuffer = 1, kFirstBuffer = 2;
// Beside those that the rings hold, in the guest: for host rings, and for programs that ask for more.
inline constexpr uint32_t kSpareBuffers = 256;
inline constexpr uint32_t kMostPieces = 64;  // slots of a packet
inline constexpr uint32_t kShortestFrame = 14, kLongestFrame = 65535 + 14 + 8;

struct Header {
  uint64_t magic;
  uint32_t slots;  // of each ring: a power of two
  uint32_t pairs;  // of rings
  uint32_t buffer_bytes;
  uint8_t mac[6];  // for an interface in the guest's name of it
};

struct HostBlock {
  std::atomic<uint32_t> session;  // being served
  std::atomic<uint32_t> closed;   // not 0: unplugged, nothing comes any more
  uint32_t pad[14];
  struct Pair {
    nm_csb_ktoa tx, rx;
  } pair[kMostPairs];
};

struct GuestBlock {
  std::atomic<uint32_t> session;    // wanted
  std::atomic<uint32_t> doorbells;  // rung since, for statistics
  uint32_t pad[14];
  struct Pair {
    nm_csb_atok tx, rx;
  } pair[kMostPairs];
};
static_assert(sizeof(HostBlock) == 64 + 128 * kMostPairs && sizeof(GuestBlock) == sizeof(HostBlock));
static_assert(sizeof(HostBlock) <= kPage);

// Where what is, for so many slots of so many pairs of rings.
struct Layout {
  uint32_t slots, pairs = 1;

  static constexpr uint64_t pages(uint64_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }
  static constexpr uint64_t host() { return kPage; }
  static constexpr uint64_t guest() { return 2 * kPage; }
  constexpr uint64_t ring_bytes() const { return pages(uint64_t{slots} * sizeof(netmap_slot)); }
  constexpr uint64_t tx_slots(uint32_t pair) const { return 3 * kPage + 2 * pair * ring_bytes(); }
  constexpr uint64_t rx_slots(uint32_t pair) const { return tx_slots(pair) + ring_bytes(); }
  constexpr uint64_t buffers_at() const { return tx_slots(pairs); }
  // Host rings of a guest have as many slots as a ring here.
  constexpr uint64_t bytes() const {
    const uint64_t least = kFirstBuffer + uint64_t{2} * slots * (pairs + 1) + kSpareBuffers;
    return std::bit_ceil(buffers_at() + least * kBufferBytes);
  }
  constexpr uint32_t buffers() const { return uint32_t((bytes() - buffers_at()) / kBufferBytes); }
  constexpr uint64_t buffer(uint32_t index) const { return buffers_at() + uint64_t{index} * kBufferBytes; }
};
static_assert(Layout{kMostSlots, kMostPairs}.bytes() <= uint64_t{1} << 28);

constexpr bool shape_ok(uint32_t slots, uint32_t pairs) {
  return slots >= kLeastSlots && slots <= kMostSlots && std::has_single_bit(slots) && pairs >= 1 && pairs <= kMostPairs;
}

// The first word of a slot; the second is `ptr`.
struct SlotWord {
  uint32_t buf_idx;
  uint16_t len, flags;
};
static_assert(sizeof(netmap_slot) == 16 && offsetof(netmap_slot, len) == 4 && offsetof(netmap_slot, flags) == 6);

// Once, whole: the other side may write there at any time.
inline SlotWord load_slot(const uint8_t* slots, uint32_t index) {
  return std::bit_cast<SlotWord>(__atomic_load_n(
      reinterpret_cast<const uint64_t*>(slots + uint64_t{index} * sizeof(netmap_slot)), __ATOMIC_RELAXED));
}
inline void store_slot(uint8_t* slots, uint32_t index, SlotWord word) {
  __atomic_store_n(reinterpret_cast<uint64_t*>(slots + uint64_t{index} * sizeof(netmap_slot)),
                   std::bit_cast<uint64_t>(word), __ATOMIC_RELAXED);
}

}  // namespace unetmap::passthrough
