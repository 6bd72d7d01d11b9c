// SPDX-License-Identifier: BSD-2-Clause
// One pair of a virtual machine's queues and the rings of the switch port that go with it: moves packets between them.
#pragma once

#include <memory>
#include <string>

#include "dev/virtio_net/rx_queue.hh"
#include "dev/virtio_net/tx_queue.hh"
#include "worker/switch_port.hh"

namespace unetmap::worker {

// What only one of a thread's pairs needs at a time: large.
struct PairScratch {
  virtio::ChainBatch batch;
  std::array<virtio::TxPacket, virtio::kMaxFetch> packets;
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

  QueuePair(SwitchPort& port, uint32_t index, PairScratch& scratch) : port_(port), index_(index), scratch_(scratch) {}

  virtio::TxQueue& tx() { return tx_; }
  virtio::RxQueue& rx() { return rx_; }
  const virtio::TxQueue& tx() const { return tx_; }
  const virtio::RxQueue& rx() const { return rx_; }

  struct Moved {
    uint32_t packets = 0;
    bool call = false;     // the guest wants to be notified
    bool blocked = false;  // the other side takes no more for now
  };
  // From the guest into the switch's ring, a bounded batch. The caller synchronises the port.
  Moved send();
  // From the switch's ring number `ring` to the guest.
  Moved receive(uint32_t ring);
  // The guest does not listen: what is there for it is lost.
  uint32_t discard(uint32_t ring);
  // A frame of our own making into the switch.
  bool inject(std::span<const uint8_t> frame);

  const Counters& counters() const { return counters_; }

 private:
  uint32_t put(const virtio::TxPacket& packet, const Ring& ring, uint32_t at, uint32_t room);
  virtio::Delivery deliver(const Ring& ring, uint32_t at, const PacketView& packet);
  virtio::Delivery deliver_in_software(std::span<const std::span<const uint8_t>> whole);

  SwitchPort& port_;
  const uint32_t index_;
  PairScratch& scratch_;
  virtio::TxQueue tx_;
  virtio::RxQueue rx_;
  Counters counters_;
};

}  // namespace unetmap::worker
