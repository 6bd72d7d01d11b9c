// SPDX-License-Identifier: BSD-2-Clause
// The receiver's half of a switch port's ring: slots come back as free cells, delivered cells become slots.
//
// What the receiver knows for certain it keeps in private memory (`own`, `cell_of`): which buffer goes with which cell
// and which cells are in its ring. Exchange memory only tells it what arrived, and each word of that is checked.
#pragma once

#include <vector>

#include "net/netmap.h"
#include "vale/exchange.hh"

namespace unetmap::vale {

struct RxView {
  netmap_slot* slots = nullptr;  // the application's, foreign
  uint32_t num_slots = 0;
  RxKring* kring = nullptr;
  // Private arrays; a zero entry is the initial state.
  std::atomic<uint32_t>* cell_of = nullptr;  // by slot: cell id XOR slot
  std::atomic<uint32_t>* own = nullptr;      // by cell: buffer XOR its first buffer | kInRing
  Exchange exchange;
  uint64_t offset_mask = 0;
};
constexpr uint32_t kInRing = 1u << 31;

class Receiver {
 public:
  Receiver(SwitchShared* shared, const RxView& view);

  const RxView& view() const { return view_; }
  // Returns the slots in [hwcur, head) to the senders; returns the number of cells freed.
  uint32_t give_back(uint32_t hwcur, uint32_t head);
  // Shows what was delivered in the slots from hwtail on (not beyond the slot before hwcur); the new hwtail.
  uint32_t take(uint32_t hwtail, uint32_t hwcur);
  bool anything() const { return view_.exchange.anything(); }

  // A process that could write the exchange is gone: cells may be missing, doubled or spoiled. Rebuilds the free ring
  // from what is certain. Steps: empty the free ring, wait until every sender that was in a sync has left it, take the
  // stack, put every cell that is not in the ring on the free ring. A sender that does not leave is waited for at most
  // until `patience` calls, then only its cells are left out, until another reset.
  bool reset_wanted() const;
  // One step; true when the reset is finished. Call again, soon, while it is not.
  bool reset_step(uint32_t& hwtail, uint32_t hwcur, uint32_t patience);
  bool resetting() const { return reset_state_ != 0; }

 private:
  void recycle(uint32_t cell, uint64_t& position);
  bool place(uint32_t cell, uint32_t& hwtail, uint32_t hwcur, uint64_t& free_position);
  void begin_reset();
  bool senders_left();

  SwitchShared* shared_;
  RxView view_;
  std::vector<uint32_t> chains_;
  uint32_t reset_state_ = 0, reset_goal_ = 0;
  std::vector<uint8_t> drained_;  // by cell: known to be in no sender's hands
  struct Busy {
    uint16_t port, ring;
    uint32_t seq;
  };
  std::vector<Busy> busy_;
};

}  // namespace unetmap::vale
