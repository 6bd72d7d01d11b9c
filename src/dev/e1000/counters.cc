// SPDX-License-Identifier: BSD-2-Clause
#include "dev/e1000/counters.hh"

namespace unetmap::e1000 {

const char* counter_name(Drop cause) noexcept {
  switch (cause) {
    case Drop::kTxTooLong:
      return "lost_tx_too_long";
    case Drop::kTxTooShort:
      return "lost_tx_too_short";
    case Drop::kTxOffload:
      return "lost_tx_offload";
    case Drop::kTxLinkDown:
      return "lost_tx_link_down";
    case Drop::kTxLoopbackFull:
      return "lost_tx_loopback_full";
    case Drop::kRxDisabled:
      return "lost_no_driver";
    case Drop::kRxFiltered:
      return "filtered";
    case Drop::kRxTooLong:
      return "lost_rx_too_long";
    case Drop::kRxTooShort:
      return "lost_rx_too_short";
    case Drop::kRxConvert:
      return "lost_convert";
    case Drop::kRxNoBuffers:
      return "lost_no_buffers";
  }
  return "lost";
}

}  // namespace unetmap::e1000
