// SPDX-License-Identifier: BSD-2-Clause
// One queue of an interface through its AF_XDP socket.
#pragma once

#include <memory>

#include "client/nic/live_frames.hh"
#include "client/nic/rings.hh"
#include "client/nic/xsk_socket.hh"
#include "vale/forward.hh"

namespace unetmap::client {

class XskTx final : public NicTx {
 public:
  XskTx(std::shared_ptr<XskSocket> socket, std::shared_ptr<LiveFrames> live, const vale::TxView& view, NicState* state,
        uint32_t packet_slots);
  int sync(uint32_t& hwcur, uint32_t& hwtail, uint32_t head, bool recover, bool straight) override;

 private:
  void reclaim(uint32_t& hwtail, uint32_t hwcur);
  uint32_t place(uint32_t hwcur, uint32_t head);
  uint32_t send_straight(uint32_t hwcur, uint32_t head);
  uint32_t stage(uint32_t at, uint32_t head, uint64_t& bytes);
  uint32_t recover(uint32_t hwcur, uint32_t head);
  void note_sent(uint32_t hwcur);
  uint32_t packet_slots(uint32_t at, uint32_t head) const;
  bool check(const netmap_slot& slot, uint32_t& offset) const;
  std::atomic<uint32_t>& in_flight(uint32_t slot) const { return in_flight_[slot]; }
  uint32_t next(uint32_t slot) const { return slot + 1 == view_.num_slots ? 0 : slot + 1; }

  std::shared_ptr<XskSocket> socket_;
  std::shared_ptr<LiveFrames> live_;  // may be null
  vale::TxView view_;
  NicState* state_;
  std::atomic<uint32_t>* in_flight_;
  const uint32_t most_slots_;  // of a packet
};

class XskRx final : public NicRx {
 public:
  XskRx(std::shared_ptr<XskSocket> socket, const NicRxView& view, NicState* state);
  int sync(uint32_t& hwcur, uint32_t head, uint32_t& hwtail, bool recover) override;

 private:
  void recover(uint32_t& hwtail);
  void give(uint32_t head);
  void take(uint32_t& hwtail, uint32_t head);
  bool place(uint32_t slot, uint32_t buffer, uint32_t end);
  void swap_buffers(uint32_t a, uint32_t buf_a, uint32_t b, uint32_t buf_b);
  uint32_t next(uint32_t slot) const { return slot + 1 == view_.num_slots ? 0 : slot + 1; }

  std::shared_ptr<XskSocket> socket_;
  NicRxView view_;
  NicState* state_;
};

}  // namespace unetmap::client
