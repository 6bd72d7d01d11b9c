// SPDX-License-Identifier: BSD-2-Clause
// A transmit ring of a pipe's end. Slot k of it and of the other end's receive ring are one place for one packet:
// sending copies the slot, and the other end has its buffer until it gives that slot back. Only whole packets are
// shown.
#pragma once

#include <memory>

#include "client/port/observer.hh"
#include "client/ring/tx_ring.hh"

namespace unetmap::client {

class PipeTxRing final : public TxRing {
 public:
  PipeTxRing(Port& port, uint32_t index);

  bool idle() const override;
  WaitList* writers() override { return &peer_kring_->writers; }
  bool room_likely() const override;
  uint32_t peer_cpu() const override { return peer_kring_->receiver_cpu.load(std::memory_order_relaxed); }
  uint32_t completed() const override { return indexes().hwtail; }
  bool awaits_release() const override;

 protected:
  int send(ServiceIndexes& at, uint32_t head, bool recover) override;
  ServiceIndexes restart() const override;

 private:
  uint32_t show_to_peer(uint32_t hwcur, uint32_t head);
  void show_to_watchers(uint32_t from, uint32_t to);
  uint32_t released_tail(const ServiceIndexes& at) const;

  // The other end's receive ring, of the same region and as many slots.
  netmap_slot* peer_slots_;
  RxKring* peer_kring_;
  std::unique_ptr<Observer> observer_, peer_observer_;  // for those who watch this end, and the other
};

}  // namespace unetmap::client
