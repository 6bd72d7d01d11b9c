// SPDX-License-Identifier: BSD-2-Clause
// A pair of rings of a port that is passed through, between the guest's memory and the rings of the switch port of the
// same number. What the guest sends is sent to the switch from where it lies, and its slots are done with when the
// switch is; where the port is none of a switch's (a pipe), it is copied into the port's buffers first.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "dev/passthrough/device.hh"
#include "worker/neighbours.hh"
#include "worker/switch_port.hh"

namespace unetmap::worker {

class PassedPair {
 public:
  PassedPair(SwitchPort& port, uint32_t index);
  PassedPair(const PassedPair&) = delete;
  // Begins with the memory of a guest, and ends before it is unmapped.
  void connect(passthrough::Device& device);
  void disconnect();

  // Moves a bounded number of packets, and says whether it moved any. Slots that it put in the switch's ring go with the
  // next NIOCTXSYNC; then say account(). `end`: of a pipe, the other end, if it is served here.
  bool send(const Neighbours& neighbours, Neighbour* end);
  bool wants_sync() const { return slots_put_ > 0; }
  void account();
  // After NIOCRXSYNC. `listening`: false, and what is there is lost.
  bool receive(bool listening);
  passthrough::Delivery take(const Passing& packet);
  // What was taken, since the last call: for the counters of both ports.
  struct Taken {
    uint64_t packets = 0, bytes = 0;
  };
  Taken taken() { return std::exchange(taken_, {}); }
  void finish() { pair().finish(); }

  uint64_t moved_packets() const { return sent_packets_; }
  uint64_t lost_no_driver() const { return lost_no_driver_; }
  uint64_t lost_too_long() const { return lost_too_long_; }
  // The guest's slots: none are left to receive into; what it sends has to wait for the switch; or for a neighbour, for a
  // moment.
  bool rx_blocked() const { return rx_blocked_; }
  bool tx_blocked() const { return tx_blocked_; }
  bool held() const { return held_; }
  // Something is in the switch's ring, whose slots the guest is to have back once it is gone.
  bool awaits_switch() const { return tx_blocked_ || in_ring_ > 0; }
  // Guests may come and go: nothing is held back any more.
  void forget_blocked() {
    rx_blocked_ = tx_blocked_ = held_ = false;
    in_ring_ = 0;
  }

 private:
  passthrough::RingPair& pair() { return device_->pair(index_); }
  uint32_t in_ring() const;
  uint32_t free_slots() const;
  void look_at_session();
  uint32_t packet_at_slot(std::span<const passthrough::SlotWord> slots, uint32_t first);
  uint32_t put(std::span<const passthrough::SlotWord> packet, uint32_t at, uint32_t room);
  bool pass(Neighbour& to);
  uint32_t hand_over(std::span<const passthrough::SlotWord> slots, Handover* handover, Neighbour* end);
  bool deliver(const Ring& ring, uint32_t at, const PacketView& packet);

  SwitchPort& port_;
  const uint32_t index_;
  passthrough::Device* device_ = nullptr;
  uint64_t begun_ = 0;              // session of the device's
  std::vector<netmap_slot> slots_;  // of the switch port's ring: sent from the guest's memory
  bool in_place_ = false;
  // Slots in the switch's ring that are not done with, first those of an earlier session; slots of the guest's that are
  // done with but stand behind some that are not.
  uint32_t in_ring_ = 0, stale_ = 0, behind_ = 0;
  uint32_t slots_put_ = 0;
  uint64_t sent_packets_ = 0;
  bool rx_blocked_ = false, tx_blocked_ = false, held_ = false;
  Patience patience_;
  Taken taken_;
  uint64_t lost_no_driver_ = 0, lost_too_long_ = 0;
  std::array<passthrough::Piece, SwitchPort::kMaxFrags> parts_;  // of the packet in hand
  uint32_t part_count_ = 0, part_bytes_ = 0;
};

}  // namespace unetmap::worker
