// SPDX-License-Identifier: BSD-2-Clause
// Rings by which nothing passes.
#pragma once

#include <cerrno>

#include "client/ring/rx_ring.hh"
#include "client/ring/tx_ring.hh"

namespace unetmap::client {

// Of netmap:null: slots that are handed over stay where they are.
class NullTxRing final : public TxRing {
 public:
  NullTxRing(Port& port, uint32_t index) : TxRing(port, index) {}

 protected:
  int send(ServiceIndexes& at, uint32_t head, bool /*recover*/) override {
    if (head != at.hwcur) at.hwtail = before(at.hwcur);
    return 0;
  }
};

class NullRxRing final : public RxRing {
 public:
  NullRxRing(Port& port, uint32_t index) : RxRing(port, index) {}

 protected:
  int receive(ServiceIndexes& at, uint32_t head, bool /*recover*/) override {
    at.hwcur = head;
    return 0;
  }
};

// Of a monitor: nothing goes out by it.
class MonitorTxRing final : public TxRing {
 public:
  MonitorTxRing(Port& port, uint32_t index) : TxRing(port, index) { refusal_ = EIO; }

 protected:
  int send(ServiceIndexes& /*at*/, uint32_t /*head*/, bool /*recover*/) override { return EIO; }
};

}  // namespace unetmap::client
