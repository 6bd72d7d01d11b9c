// SPDX-License-Identifier: BSD-2-Clause
// A receive ring of a pipe's end: the other end writes its slots itself (tx.hh).
#pragma once

#include "client/ring/rx_ring.hh"

namespace unetmap::client {

class PipeRxRing final : public RxRing {
 public:
  PipeRxRing(Port& port, uint32_t index);

 protected:
  int receive(ServiceIndexes& at, uint32_t head, bool recover) override;

 private:
  void release_to_peer(uint32_t hwcur, uint32_t head);

  netmap_slot* peer_slots_;  // of the other end's transmit ring
};

}  // namespace unetmap::client
