// SPDX-License-Identifier: BSD-2-Clause
// Parts of the Forwarder that its two source files share.
#pragma once

#include "vale/forward.hh"
#include "vale/offload.hh"

namespace unetmap::vale {

// What a port with virtio-net headers of this length takes.
OutputForm output_form(uint16_t header_len);

// The runs for one destination in the order of the slots: its own merged with those for everybody.
class Forwarder::MergedRuns {
 public:
  MergedRuns(const Run* runs, uint16_t own, uint16_t flood) : runs_(runs), own_(own), flood_(flood) {}
  bool only_flood() const { return own_ == kNoRun; }
  const Run* next() {
    uint16_t& from = flood_ == kNoRun || (own_ != kNoRun && own_ < flood_) ? own_ : flood_;
    if (from == kNoRun) return nullptr;
    const Run* run = &runs_[from];
    from = run->next;
    return run;
  }

 private:
  const Run* runs_;
  uint16_t own_, flood_;
};

// Cells for the packets of one group, and the chain under construction. Cells come from a reservation first, then
// from the free ring. Whatever is left at the end goes back as void cells (length 0), which the receiver recycles.
struct Forwarder::Supply {
  Forwarder& forwarder;
  Dest& dest;
  const Exchange& ex;
  TxKring& kring;
  uint32_t* cells;          // ids in hand: [used, have)
  uint32_t used = 0, have = 0;
  uint32_t still_needed = 0; // estimate of what is yet to come, for sizing a pop
  bool exhausted = false;
  bool copies = false;      // for a monitor: nothing waits for this, and losses are the monitor's alone
  uint16_t mark = 0;        // slot flags that all get
  uint32_t first = UINT32_MAX, last = UINT32_MAX, last_offset = 0, count = 0;

  // Makes `n` cells available in one piece of `cells`; false if the destination stays full.
  bool need(uint32_t n);
  uint32_t take() { return cells[used++]; }
  // Appends a filled cell to the chain.
  void append(uint32_t cell, uint32_t offset) {
    if (last == UINT32_MAX) first = cell;
    else ex.link(last, cell, last_offset);
    last = cell;
    last_offset = offset;
    count++;
  }
  // Delivers the chain and wakes the reader if it sleeps.
  void flush();
  // Gives one cell back, void.
  void return_cell();
  // Gives back what is left, then flushes.
  void finish();
  void lose(uint64_t packets);
  // A loss that is the packet's own fault.
  void refuse(std::atomic<uint64_t>& counter);
};

}  // namespace unetmap::vale
