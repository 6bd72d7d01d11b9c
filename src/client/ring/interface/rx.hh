// SPDX-License-Identifier: BSD-2-Clause
// A receive ring whose other side is the kernel (nic/rings.hh), and NS_FORWARD between an interface's rings and the
// host stack.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "client/nic/sockets.hh"
#include "client/ring/interface/tx.hh"
#include "client/ring/rx_ring.hh"

namespace unetmap::client {

class InterfaceRxRing final : public RxRing {
 public:
  // `sockets` and `out`, the transmit rings of the same descriptor, live longer.
  InterfaceRxRing(Port& port, uint32_t index, const NicSockets& sockets, std::vector<InterfaceTxRing*> out);

  // From now on there is no interface to receive from.
  void close();

 protected:
  int receive(ServiceIndexes& at, uint32_t head, bool recover) override;

 private:
  bool of_host() const;
  std::span<const uint8_t> released_frame(uint32_t at, uint32_t head, std::vector<uint8_t>& gathered,
                                          uint32_t& slots) const;
  void forward_released(uint32_t hwcur, uint32_t head);
  bool pass_on(std::span<const uint8_t> frame);

  const NicSockets& sockets_;
  const std::vector<InterfaceTxRing*> out_;
  NicState* state_;
  std::unique_ptr<NicRx> nic_;  // until it is closed
};

}  // namespace unetmap::client
