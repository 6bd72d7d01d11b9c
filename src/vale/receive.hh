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
  Atomic<uint32_t>* cell_of = nullptr;  // by slot: cell id XOR slot
  Atomic<uint32_t>* own = nullptr;      // by cell: buffer XOR its first buffer | kInRing
  Exchange exchange;
  uint64_t offset_mask = 0;
  const PortEntry* port = nullptr;  // the receiving one; foreign
  // A zero-copy monitor, or a port with kPortExchanges: packets may come in buffers of their own, for which their
  // sender took the cell's. Whoever can name a buffer of the region could write to it anyway.
  bool takes_buffers = false;
  // Then also: the private memory of the region, in which the slots of such senders are.
  const uint8_t* region = nullptr;
  uint64_t region_bytes = 0;
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

  // Whoever had the ring before died in the middle: slots and cells agree again, as far as hwcur and hwtail say what is
  // shown. What he had taken off the stack or was about to give back is in no place then, which the audit finds.
  void recover(uint32_t hwcur, uint32_t hwtail);

  // A process that could write the exchange is gone: cells may be missing, and if it wrote garbage, doubled or spoiled.
  // The audit finds out without disturbing anybody: cells that are neither free nor in the ring are in a sender's hands
  // or lost; those that still are after every sender that was in a sync has left it are lost, and become free. Where
  // the free ring itself makes no sense, it is emptied first, all is waited for, and it is made anew.
  // A doubled cell may stay hidden while a sender has it in its hands. It comes to light later, when it is delivered
  // while it is in the ring, when a chain is not as long as its sender said, or when more cells are free than there
  // are: then
  // (`spoiled`) all is made anew.
  // A sender that does not come out of its sync (stopped) is waited for until the caller gives up; what it may have in
  // its hands is then left out, and looked for again when it has come out.
  // Of several receivers of one ring (processes that share it, each with an object of its own) another may return cells
  // while an audit of ours waits: that shows in free_tail, and the audit begins anew.
  bool reset_wanted() const;
  // One step; true when done. Call again, soon, while it is not.
  bool reset_step(uint32_t& hwtail, uint32_t hwcur, bool give_up);
  bool resetting() const { return resetting_; }

 private:
  [[gnu::cold]] void refuse_cell();
  void recycle(uint32_t cell, uint64_t& position);
  uint32_t give_back_plain(uint32_t at, uint32_t end, uint64_t& position);
  uint32_t give_back_fours(uint32_t at, uint32_t cell, uint32_t fours, uint64_t position) const;
  uint32_t give_back_one(uint32_t at, uint64_t& position);
  void sort_free(uint64_t from, uint64_t to);
  template <bool kTakes>
  uint32_t place_plain(uint32_t cell, uint32_t& hwtail, uint32_t hwcur);
  bool place(uint32_t cell, uint32_t& hwtail, uint32_t hwcur, uint64_t& free_position, uint32_t& follows);
  void begin_reset();
  bool free_ring_makes_sense();
  void drain();
  bool others_returned() const;
  bool still_free(uint32_t cell) const;
  uint32_t buffer_after_death(uint32_t cell, uint32_t own) const;
  void note_busy_senders();
  bool sender_left(uint16_t port, uint16_t ring, uint32_t seq) const;

  SwitchShared* shared_;
  RxView view_;
  std::vector<uint32_t> chains_;
  uint64_t packets_ = 0, bytes_ = 0;  // of one take()
  // Cells are sorted that come back in more stretches, and shorter ones on average.
  static constexpr uint32_t kFewStretches = 4, kShortStretch = 16;
  uint32_t stretches_ = 0;        // of cells that follow each other, in one give_back()
  std::vector<uint64_t> sorted_;  // a bit for each cell
  uint32_t goal_ = 0;
  bool resetting_ = false;
  bool drained_ = false;            // the free ring was emptied; cells that come back wait for the end
  bool incomplete_ = false;         // the last audit gave up on those that are in busy_
  uint64_t tail_ = 0;               // during an audit: position of the free ring's end as we left it
  std::vector<uint8_t> accounted_;  // by cell: known to be in no sender's hands since the audit began
  std::vector<uint64_t> free_at_;   // by cell: where it last was on the free ring since then
  struct Busy {
    uint16_t port, ring;
    uint32_t seq;
  };
  std::vector<Busy> busy_;
};

}  // namespace unetmap::vale
