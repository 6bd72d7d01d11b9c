// SPDX-License-Identifier: BSD-2-Clause
// Packets for a guest: written to the buffers of its receive queue.
//
//   for each packet
//     switch (queue.deliver(hdr, frame)) {
//       case Delivery::kNeedsSoftware: vale::Segmenter, takes_offloads false; deliver each with an empty header
//       case Delivery::kNoBuffers:     the guest has too few: keep or drop it, and see arm()
//       ...
//     }
//   if (queue.finish()) ring the guest's bell;
//
// A packet is delivered whole or not at all: buffers are given to the guest when all of the packet is in them.
#pragma once

#include <span>

#include "dev/virtio_net/net_header.hh"
#include "dev/virtio_net/vring.hh"

namespace unetmap::virtio {

enum class Delivery : uint8_t {
  kDone,
  kNoBuffers,      // nothing happened
  kNeedsSoftware,  // nothing happened: the guest has not agreed to take such a packet
  kDropped,        // counted under its cause
  kBroken,         // see ring().fault()
};

struct RxCounters {
  uint64_t packets = 0;
  uint64_t bytes = 0;
  uint64_t no_buffers = 0;       // times that deliver said so
  uint64_t bad_header = 0;       // dropped: a header that fits no frame
  uint64_t too_long = 0;         // dropped: longer than the guest's buffer, and it takes one buffer a packet
  uint64_t too_many_pieces = 0;  // dropped: more than all its buffers hold, or as many of them as we look at
  uint64_t calls = 0;            // notifications that the guest wanted
};

class RxQueue {
 public:
  using Source = std::span<const uint8_t>;

  // The batch serves as this queue's window between its first deliver() and finish().
  RingFault start(const guest::GuestMemory& memory, const RingSetup& setup) noexcept;
  [[nodiscard]] Vring& ring() noexcept { return ring_; }
  [[nodiscard]] const Vring& ring() const noexcept { return ring_; }
  [[nodiscard]] const Offloads& agreed() const noexcept { return agreed_; }

  // The frame lies in the sources, one after the other; none of its bytes is looked at here.
  Delivery deliver(ChainBatch& batch, const vale::VnetHdr& hdr, std::span<const Source> frame) noexcept;
  // Shows what was delivered to the guest. True: notify it. After it, the batch is free.
  [[nodiscard]] bool finish() noexcept;

  // After finish(): asks for a kick when there are more buffers than when deliver() last found too few. True: there are
  // by now.
  [[nodiscard]] bool arm(ChainBatch& batch) noexcept;
  void disarm() noexcept { ring_.disarm(); }

  [[nodiscard]] const RxCounters& counters() const noexcept { return counters_; }

 private:
  enum class Room : uint8_t { kEnough, kNoBuffers, kTooLong, kTooManyPieces, kBroken };
  void begin(ChainBatch& batch) noexcept;
  size_t take_more(ChainBatch& batch, size_t count) noexcept;
  [[nodiscard]] bool all_offered(const ChainBatch& batch) const noexcept;
  Room find_room(ChainBatch& batch, uint64_t bytes, size_t& chains) noexcept;
  void fill(const ChainBatch& batch, size_t chains, Source header, std::span<const Source> frame,
            uint32_t bytes) noexcept;

  Vring ring_;
  Offloads agreed_;
  uint32_t header_bytes_ = 0;
  bool mergeable_ = false;
  bool under_way_ = false;     // a round: the batch holds chains
  bool header_stays_ = false;  // the last packet's header stood in its buffer already
  bool call_ = false;          // a round that ended inside deliver() wanted one
  const guest::GuestMemory* memory_ = nullptr;
  size_t cursor_ = 0;  // its first chain not given back
  size_t seen_ = 0;    // chains there were when deliver() last found too few
  RxCounters counters_;
};

}  // namespace unetmap::virtio
