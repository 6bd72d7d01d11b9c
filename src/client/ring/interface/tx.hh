// SPDX-License-Identifier: BSD-2-Clause
// A transmit ring whose other side is the kernel: nic/rings.hh.
#pragma once

#include <memory>
#include <span>

#include "client/nic/sockets.hh"
#include "client/port/observer.hh"
#include "client/ring/tx_ring.hh"

namespace unetmap::client {

class InterfaceTxRing final : public TxRing {
 public:
  InterfaceTxRing(Port& port, uint32_t index, const NicSockets& sockets);

  bool idle() const override { return !nic_ && nothing_new(); }
  uint32_t completed() const override { return indexes().hwtail; }
  // From now on there is no interface to send to.
  void close();
  // A frame of the host stack's goes out: through slots that the application has nothing in. False if there are too
  // few.
  bool pass_on(std::span<const uint8_t> frame);

 protected:
  int send(ServiceIndexes& at, uint32_t head, bool recover) override;
  // What an interface has taken and not sent yet goes with its socket.
  uint32_t first_unsent() const override;

 private:
  std::unique_ptr<NicTx> nic_;  // until it is closed
  std::unique_ptr<Observer> observer_;
};

}  // namespace unetmap::client
