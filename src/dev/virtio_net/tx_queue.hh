// SPDX-License-Identifier: BSD-2-Clause
// Packets that a guest sends: from the chains of its transmit queue to frames as lists of pieces, to be copied or sent
// straight out of guest memory. (Transmit as the guest sees it, which is also how the rest of this project counts.)
//
//   size_t n, accepted;
//   do {
//     n = queue.fetch(batch, packets);
//     accepted = hand over packets[0..n), in order;
//     if (queue.complete(accepted)) ring the guest's bell;    // after each fetch; those not accepted come again
//   } while (n > 0 && accepted == n);
#pragma once

#include <array>
#include <span>

#include "dev/virtio_net/net_header.hh"
#include "dev/virtio_net/vring.hh"

namespace unetmap::virtio {

inline constexpr size_t kMaxFetch = 64;

struct TxPacket {
  vale::VnetHdr hdr;             // checked; zero when nothing is asked for
  uint32_t bytes;                // of the frame
  std::span<const Piece> frame;  // behind the header. The guest can still write there: copy, then look
};

struct TxCounters {
  uint64_t packets = 0;  // completed, those dropped not among them
  uint64_t bytes = 0;
  uint64_t kicks_wanted = 0;
  uint64_t calls = 0;  // notifications that the guest wanted
  std::array<uint64_t, kHeaderFaults> dropped{};
};

class TxQueue {
 public:
  RingFault start(const guest::GuestMemory& memory, const RingSetup& setup) noexcept;
  [[nodiscard]] Vring& ring() noexcept { return ring_; }
  [[nodiscard]] const Vring& ring() const noexcept { return ring_; }

  // Up to kMaxFetch packets. The batch, which any queue of this thread may use next, is theirs until complete().
  // Packets with bad headers are dropped, counted and given back. 0: nothing to send now, or broken.
  size_t fetch(ChainBatch& batch, std::span<TxPacket> packets) noexcept;
  // Gives the first `accepted` packets of the last fetch back to the guest. True: notify it.
  [[nodiscard]] bool complete(size_t accepted) noexcept;

  // As Vring's.
  [[nodiscard]] bool arm() noexcept {
    counters_.kicks_wanted++;
    return ring_.arm();
  }
  void disarm() noexcept { ring_.disarm(); }

  [[nodiscard]] const TxCounters& counters() const noexcept { return counters_; }

 private:
  HeaderFault read_packet(ChainBatch& batch, size_t index, TxPacket& packet) noexcept;

  Vring ring_;
  Offloads agreed_;
  bool asks_ = false;  // the guest may ask for something in its headers
  uint32_t header_bytes_ = 0;
  const ChainBatch* batch_ = nullptr;  // of the last fetch
  size_t first_ = 0;                   // its first packet's chain
  size_t fetched_ = 0;
  std::array<uint32_t, kMaxFetch> frame_bytes_;
  TxCounters counters_;
};

}  // namespace unetmap::virtio
