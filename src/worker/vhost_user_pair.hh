// SPDX-License-Identifier: BSD-2-Clause
// One pair of a virtual machine's queues and the rings of the switch port that go with it: moves packets between them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "dev/virtio_net/rx_queue.hh"
#include "dev/virtio_net/tx_queue.hh"
#include "vale/offload.hh"
#include "worker/neighbours.hh"
#include "worker/switch_port.hh"

namespace unetmap::worker {

// What only one of a thread's pairs needs at a time: large.
struct PairScratch {
  virtio::ChainBatch batch;     // of what is sent
  virtio::ChainBatch rx_batch;  // of what is received
  std::array<virtio::TxPacket, virtio::kMaxFetch> packets;
  // The packet in hand: not on the stack, where all of it would be cleared for each.
  std::array<std::span<const uint8_t>, SwitchPort::kMaxFrags + 1> parts;
  std::array<std::span<const uint8_t>, SwitchPort::kMaxFrags> pieces;  // of one that goes to a neighbour
  std::unique_ptr<uint8_t[]> whole, piece;  // for what goes through software segmentation, made at first use
  uint32_t fragment_seed = 0;
};

class QueuePair {
 public:
  // What did not get through, besides what the queues count themselves.
  struct Counters {
    uint64_t lost_no_driver = 0;  // for the guest, which does not listen
    uint64_t lost_convert = 0;    // for the guest: no form that it takes
    uint64_t lost_too_long = 0;   // from the guest: more than the switch's ring can ever hold
  };

  QueuePair(SwitchPort& port, uint32_t index, PairScratch& scratch, const Neighbours& neighbours)
      : port_(port), index_(index), scratch_(scratch), neighbours_(neighbours) {}

  virtio::TxQueue& tx() { return tx_; }
  virtio::RxQueue& rx() { return rx_; }
  const virtio::TxQueue& tx() const { return tx_; }
  const virtio::RxQueue& rx() const { return rx_; }

  struct Moved {
    uint32_t packets = 0;
    uint32_t slots = 0;    // put in the switch's ring
    bool call = false;     // the guest wants to be notified
    bool blocked = false;  // the other side takes no more for now
    bool held = false;     // it is a neighbour, to be tried again at once
  };
  // From the guest to neighbours and into the switch's ring, a bounded batch. The caller synchronises the port.
  Moved send();
  // A packet of another guest's. Its end is take_end().
  virtio::Delivery take(const Passing& packet);
  // True: the guest wants to be notified.
  bool take_end() { return rx_.finish(); }
  // From the switch's ring number `ring` to the guest.
  Moved receive(uint32_t ring);
  // A packet was cut into segments, and the guest has some of them: nothing else goes before the rest.
  bool cut_short() const { return cut_short_; }
  Moved deliver_rest();
  // The guest does not listen: what is there for it is lost.
  uint32_t discard(uint32_t ring);
  // A frame of our own making into the switch.
  bool inject(std::span<const uint8_t> frame);

  const Counters& counters() const { return counters_; }

 private:
  bool pass(Neighbour& to, const virtio::TxPacket& packet);
  uint32_t put(const virtio::TxPacket& packet, const Ring& ring, uint32_t at, uint32_t room);
  virtio::Delivery deliver(const Ring& ring, uint32_t at, const PacketView& packet);
  virtio::Delivery deliver_segments(vale::Segmenter& segmenter, bool& begun);
  virtio::Delivery deliver_in_software(std::span<const std::span<const uint8_t>> whole);

  SwitchPort& port_;
  const uint32_t index_;
  PairScratch& scratch_;
  const Neighbours& neighbours_;
  Patience patience_;
  bool cut_short_ = false;
  std::unique_ptr<uint8_t[]> rest_;  // the packet that was cut short
  vale::Segmenter rest_segments_;
  virtio::TxQueue tx_;
  virtio::RxQueue rx_;
  Counters counters_;
};

}  // namespace unetmap::worker
