// SPDX-License-Identifier: BSD-2-Clause
// One pair of a virtual machine's queues and the rings of the switch port that go with it: moves packets between them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "dev/virtio_net/rx_queue.hh"
#include "dev/virtio_net/tx_queue.hh"
#include "unetmap/route.h"
#include "worker/switch_port.hh"

namespace unetmap::worker {

// What only one of a thread's pairs needs at a time: large.
struct PairScratch {
  virtio::ChainBatch batch;     // of what is sent
  virtio::ChainBatch rx_batch;  // of what is received
  std::array<virtio::TxPacket, virtio::kMaxFetch> packets;
  // The packet in hand: not on the stack, where all of it would be cleared for each.
  std::array<std::span<const uint8_t>, SwitchPort::kMaxFrags + 1> parts;
  std::unique_ptr<uint8_t[]> whole, piece;  // for what goes through software segmentation, made at first use
  uint32_t fragment_seed = 0;
};

// Another port that is served in this thread: packets go from guest to guest with one copy.
class Neighbour {
 public:
  // Before the first packet of a batch: what came through the switch before is the guest's first. False: not now, what
  // is for it has to queue behind that.
  virtual bool ready() = 0;
  // As RxQueue::deliver, and software segmentation where the guest wants that.
  virtual virtio::Delivery take(uint32_t index, const virtio::TxPacket& packet) = 0;
  // After the last: shows them to the guest.
  virtual void finish(int from_fd, uint32_t tx_ring) = 0;

 protected:
  ~Neighbour() = default;
};

// The ports of one switch that this thread serves.
class Neighbours {
 public:
  void join(int fd, Neighbour& who) { members_.push_back({unetmap_port_id(fd), &who}); }
  void leave(const Neighbour& who) {
    std::erase_if(members_, [&](const Member& member) { return member.who == &who; });
  }
  bool alone() const { return members_.size() < 2; }
  // Who gets frames of the port `fd` with these addresses; nullptr: the switch shall see to it.
  Neighbour* find(int fd, const uint8_t* addresses) const {
    uint64_t id = unetmap_route(fd, addresses);
    for (const Member& member : members_)
      if (member.id == id && id != 0) return member.who;
    return nullptr;
  }

 private:
  struct Member {
    uint64_t id;
    Neighbour* who;
  };
  std::vector<Member> members_;
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
  };
  // From the guest to neighbours and into the switch's ring, a bounded batch. The caller synchronises the port.
  Moved send();
  // A packet of another guest's. Its end is take_end().
  virtio::Delivery take(const virtio::TxPacket& packet);
  // True: the guest wants to be notified.
  bool take_end() { return rx_.finish(); }
  // From the switch's ring number `ring` to the guest.
  Moved receive(uint32_t ring);
  // The guest does not listen: what is there for it is lost.
  uint32_t discard(uint32_t ring);
  // A frame of our own making into the switch.
  bool inject(std::span<const uint8_t> frame);

  const Counters& counters() const { return counters_; }

 private:
  // What of a batch goes where, one after the other.
  class Sending;
  bool hold();
  uint32_t put(const virtio::TxPacket& packet, const Ring& ring, uint32_t at, uint32_t room);
  virtio::Delivery deliver(const Ring& ring, uint32_t at, const PacketView& packet);
  virtio::Delivery deliver_in_software(std::span<const std::span<const uint8_t>> whole);

  SwitchPort& port_;
  const uint32_t index_;
  PairScratch& scratch_;
  const Neighbours& neighbours_;
  uint64_t held_since_ns_ = 0;  // a neighbour had no room; 0: none
  virtio::TxQueue tx_;
  virtio::RxQueue rx_;
  Counters counters_;
};

}  // namespace unetmap::worker
