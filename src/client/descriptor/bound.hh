// SPDX-License-Identifier: BSD-2-Clause
// What a registered descriptor is bound to: its port, the rings of it that are this descriptor's, and CSB mode.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "base/result.hh"
#include "client/nic/sockets.hh"
#include "client/port/port.hh"
#include "client/ring/interface/rx.hh"
#include "client/ring/interface/tx.hh"
#include "client/ring/rx_ring.hh"
#include "client/ring/tx_ring.hh"

namespace unetmap::client {

// Made once, never changed.
class Bound : public Port {
 public:
  static Result<std::unique_ptr<Bound>> make(Connection& connection, const wire::BindInfo& info,
                                             std::vector<UniqueFd>& fds);

  std::unique_ptr<NicSockets> nic;          // of an interface
  std::vector<std::unique_ptr<TxRing>> tx;  // the bound ones
  std::vector<std::unique_ptr<RxRing>> rx;
  std::atomic<uint32_t> spin_ns{0}, spin_failures{0};
  // Waits without a yield: after the last one that brought nothing; still to come; until then.
  std::atomic<uint32_t> yield_pause{0}, yields_skipped{0};
  std::atomic<uint64_t> no_yield_before_ns{0};
  // CSB mode: see csb.hh, kloop/kloop.hh.
  std::mutex csb_mutex;
  bool csb_here = false;          // with blocks in this process
  std::atomic<int> kloop_pid{0};  // the process in which a kloop runs, if it is this one; a forked child has another id

  // What a waiter sleeps on: the doorbell, or where a kernel's sockets ring too.
  int bell() const { return nic ? nic->bell() : doorbell.get(); }
  // The program has closed the descriptor: the kernel may let go of the interface although this object lives on.
  void close_nic();
  // The program closes it: what its tx rings still hold is counted, and told where errors are.
  void note_abandoned();

 private:
  using Port::Port;
  void make_rings();

  // Those of `tx` and `rx` that are an interface's.
  std::vector<InterfaceTxRing*> nic_tx_;
  std::vector<InterfaceRxRing*> nic_rx_;
};

}  // namespace unetmap::client
