// SPDX-License-Identifier: BSD-2-Clause
// One transmit ring of a bound descriptor: what all kinds have in common. A kind says how packets leave (switch/tx.hh,
// pipe/tx.hh, interface/tx.hh, null_rings.hh): one virtual call a sync.
#pragma once

#include <cerrno>
#include <cstdint>

#include "client/port/port.hh"
#include "client/ring/indexes.hh"
#include "net/netmap.h"
#include "vale/forward.hh"

namespace unetmap::client {

// Memory of the program's own to send from (unetmap/tx_memory.h).
struct TxMemory {
  const netmap_slot* slots;  // null: none
  const uint8_t* bufs;       // buffer 0
  uint32_t nbufs, buf_size;
};

class TxRing {
 public:
  virtual ~TxRing() = default;
  TxRing(const TxRing&) = delete;
  TxRing& operator=(const TxRing&) = delete;

  netmap_ring* ring() const { return ring_; }
  uint32_t index() const { return index_; }
  // NIOCTXSYNC for this ring: 0, or an errno value.
  int sync();
  // True if a sync would find nothing to send and nothing to tell.
  virtual bool idle() const { return nothing_new(); }
  bool ready() const;
  // True if slots were handed over that could not go yet.
  bool pending() const;
  // The list to sleep on until the ring may have room again, nullptr if it never lacks any.
  virtual WaitList* writers() { return nullptr; }
  virtual bool room_likely() const { return true; }
  // Where whoever makes room runs: processor number + 1, 0 if unknown.
  virtual uint32_t peer_cpu() const { return 0; }
  // A position that moves whenever there is more room.
  virtual uint32_t completed() const { return indexes().hwcur; }
  // 0, or an errno value.
  virtual int use_memory(const TxMemory& /*memory*/) { return EOPNOTSUPP; }
  // Slots that were sent are still with the reader, who will tell when they are not.
  virtual bool awaits_release() const { return false; }

  const CsbEntry& csb() const { return csb_; }
  void use_csb(const CsbEntry& entry) { csb_ = entry; }
  ServiceIndexes indexes_now() const { return indexes(); }
  ServiceIndexes indexes() const {
    return {kring_->hwcur.load(std::memory_order_relaxed), kring_->hwtail.load(std::memory_order_relaxed)};
  }
  // The head that the last sync went by.
  uint32_t head() const { return head_; }
  // Packets in it that nobody has taken.
  uint32_t unsent() const;

 protected:
  TxRing(Port& port, uint32_t index);

  // Sends what is in [at.hwcur, head), moves `at`, and returns 0; or an errno value, and the application is shown
  // nothing. Called with the ring's lock. `recover`: who held that before died in the middle of it.
  virtual int send(ServiceIndexes& at, uint32_t head, bool recover) = 0;
  // Where to go on after the application broke the rules.
  virtual ServiceIndexes restart() const;
  // The first slot that is not gone when the port is closed.
  virtual uint32_t first_unsent() const { return indexes().hwcur; }

  // Shows the application where the service is.
  void publish(const ServiceIndexes& at);
  bool nothing_new() const;
  // The slot before this one.
  uint32_t before(uint32_t slot) const { return slot == 0 ? view_.num_slots - 1 : slot - 1; }

  Port& port_;
  netmap_ring* ring_;
  TxKring* kring_;
  vale::TxView view_;
  CsbEntry csb_;
  uint32_t head_ = 0;
  int refusal_ = 0;  // an errno value: nothing goes out by it, for as long as that stands here

 private:
  int reinit();
  const uint32_t index_;
};

}  // namespace unetmap::client
