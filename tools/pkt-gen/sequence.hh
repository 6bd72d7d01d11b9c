// SPDX-License-Identifier: BSD-2-Clause
// Checks the numbers that txseq puts into packets.
#pragma once

#include <cstdint>

#include "report.hh"

namespace unetmap::pktgen {

class SequenceCheck {
 public:
  enum class Order { kept, gap, out_of_order, too_short };

  // Takes the number out of a frame. The first one seen starts the sequence.
  Order frame(const uint8_t* data, uint32_t bytes, uint32_t vnet_header);
  Order seen(uint32_t number);
  // Of the last seen(): the number and what should have been there.
  uint32_t found() const { return found_; }
  uint32_t wanted() const { return wanted_; }
  const SequenceCounts& counts() const { return counts_; }

 private:
  bool started_ = false;
  uint32_t expected_ = 0;
  uint32_t found_ = 0;
  uint32_t wanted_ = 0;
  SequenceCounts counts_;
};

}  // namespace unetmap::pktgen
