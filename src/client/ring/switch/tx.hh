// SPDX-License-Identifier: BSD-2-Clause
// A transmit ring of a port on a switch: the caller itself forwards what it sends.
#pragma once

#include <memory>

#include "client/port/destinations.hh"
#include "client/ring/tx_ring.hh"

namespace unetmap::client {

class SwitchTxRing final : public TxRing {
 public:
  SwitchTxRing(Port& port, uint32_t index) : TxRing(port, index), destinations_(port) {
    view_.exchanges = port.info.port.flags & kPortExchanges;
  }

  WaitList* writers() override;
  bool room_likely() const override;
  uint32_t peer_cpu() const override;
  int use_memory(const TxMemory& memory) override;

 protected:
  int send(ServiceIndexes& at, uint32_t head, bool recover) override;

 private:
  uint32_t forward(PortEntry& entry, uint32_t hwcur, uint32_t head);
  uint32_t forward_slots(PortEntry& entry, uint32_t hwcur, uint32_t head);
  void note_told(uint32_t hwcur, uint32_t head);
  uint32_t past_exchanged(uint32_t hwcur, uint32_t head) const;
  uint32_t forward(PortEntry& entry, const vale::TxView& view, uint32_t hwcur, uint32_t head);
  bool waits_for_room() const;
  bool contents_count(const PortEntry& entry) const;
  void stage(uint32_t from, uint32_t to);
  const vale::Exchange& blocked_ring() const { return blocked_->rings[blocked_ring_]; }

  Destinations destinations_;
  std::unique_ptr<vale::Forwarder> forwarder_;
  vale::TxView elsewhere_;  // the program's own memory, if it has slots
  // Slots before this one were handed over in the ring itself, and are not sent yet.
  uint32_t own_until_ = 0;
  bool own_first_ = false;
  vale::Dest* blocked_ = nullptr;  // what the first packet that could not go waits for
  uint32_t blocked_ring_ = 0;
};

}  // namespace unetmap::client
