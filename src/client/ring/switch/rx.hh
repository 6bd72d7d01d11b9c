// SPDX-License-Identifier: BSD-2-Clause
// A receive ring that anybody on the switch may send to: vale/receive.hh.
#pragma once

#include "client/ring/rx_ring.hh"
#include "vale/receive.hh"

namespace unetmap::client {

class SwitchRxRing final : public RxRing {
 public:
  SwitchRxRing(Port& port, uint32_t index);

  WaitList& readers() override { return shared().readers; }
  bool something_likely() const override { return receiver_.anything(); }
  bool resetting() const override { return receiver_.resetting() || receiver_.reset_wanted(); }
  void note_cpu(uint32_t cpu) override;
  uint32_t peer_cpu() const override { return shared().sender_cpu.load(std::memory_order_relaxed); }
  uint64_t missed() const override;
  bool senders_wait() const override { return false; }

 protected:
  int receive(ServiceIndexes& at, uint32_t head, bool recover) override;
  WaitList& writers() override { return shared().writers; }
  void count_sleep() override { shared().sleeps.fetch_add(1, std::memory_order_relaxed); }
  uint64_t rung_ns() const override { return shared().rung_ns.load(std::memory_order_relaxed); }

 private:
  static vale::RxView view_of(Port& port, uint32_t index);
  RxExchange& shared() const { return receiver_.view().exchange.shared(); }
  void step_reset(uint32_t& hwtail, uint32_t hwcur);

  vale::Receiver receiver_;
  uint64_t reset_since_ms_ = 0;
};

}  // namespace unetmap::client
