// SPDX-License-Identifier: BSD-2-Clause
// Checks the numbers that txseq puts into packets.
#pragma once

#include <cstdint>

#include "report.hh"

namespace unetmap::pktgen {

class SequenceCheck {
 public:
  // Takes the number out of a frame. The first one seen starts the sequence.
  void frame(const uint8_t* data, uint32_t bytes, uint32_t vnet_header);
  void seen(uint32_t number);
  const SequenceCounts& counts() const { return counts_; }

 private:
  bool started_ = false;
  uint32_t expected_ = 0;
  SequenceCounts counts_;
};

}  // namespace unetmap::pktgen
