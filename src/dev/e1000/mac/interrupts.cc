// SPDX-License-Identifier: BSD-2-Clause
#include "dev/e1000/mac/interrupts.hh"

#include <algorithm>

namespace unetmap::e1000 {
namespace {

constexpr uint64_t kDelayUnit_ns = 1024, kThrottleUnit_ns = 256;
constexpr uint32_t kCauses = 0x0001'ffff;  // those that there are
constexpr uint32_t kDataCauses = kReceiveCauses | kTransmitCauses;

}  // namespace

void Interrupts::reset() noexcept {
  icr_ = ims_ = 0;
  itr_ = rdtr_ = radv_ = tidv_ = tadv_ = 0;
  line_ = vectors_ = false;
  to_signal_ = 0;
  free_ns_ = 0;
  rx_packet_ns_ = rx_absolute_ns_ = tx_packet_ns_ = tx_absolute_ns_ = throttled_ns_ = kNever;
}

uint64_t Interrupts::throttle_ns() const noexcept {
  if (!mitigation_) return 0;
  return std::max<uint64_t>(itr_, least_itr_) * kThrottleUnit_ns;
}

void Interrupts::update(uint64_t now_ns) noexcept {
  throttled_ns_ = kNever;
  const uint32_t pending = icr_ & ims_;
  if (pending == 0) {
    line_ = false;
    return;
  }
  if (vectors_) {
    line_ = false;
    if (const uint32_t control = pending & ~kDataCauses) {
      to_signal_ |= 1;
      raised_++;
      icr_ &= ~control;
    }
    if ((pending & kDataCauses) == 0) return;
  } else if (line_) {
    return;
  }
  if (now_ns < free_ns_) {
    throttled_ns_ = free_ns_;
    return;
  }
  free_ns_ = now_ns + throttle_ns();
  raised_++;
  if (vectors_) {
    to_signal_ |= 2;
    icr_ &= ~kDataCauses;
  } else {
    line_ = true;
  }
}

uint32_t Interrupts::read_icr() noexcept {
  const uint32_t causes = icr_;
  icr_ = 0;
  update(0);
  return causes;
}

void Interrupts::clear(uint32_t causes) noexcept {
  icr_ &= ~causes;
  if ((icr_ & ims_) == 0) update(0);
}

void Interrupts::allow(uint32_t causes, uint64_t now_ns) noexcept {
  ims_ |= causes & kCauses;
  update(now_ns);
}

void Interrupts::forbid(uint32_t causes) noexcept {
  ims_ &= ~causes;
  if ((icr_ & ims_) == 0) update(0);
}

// A new interval counts from the last interrupt on, as if it had been in force then.
void Interrupts::set_itr(uint32_t value, uint64_t now_ns) noexcept {
  const uint64_t began_ns = free_ns_ - throttle_ns();
  itr_ = value & 0xffff;
  if (free_ns_ == 0) return;
  free_ns_ = began_ns + throttle_ns();
  update(now_ns);
}

void Interrupts::set_rdtr(uint32_t value, uint64_t now_ns) noexcept {
  rdtr_ = value & 0xffff;
  if (!(value & kRdtrFpd)) return;
  rx_packet_ns_ = rx_absolute_ns_ = kNever;
  raise(kRxt0, now_ns);
}

void Interrupts::raise(uint32_t causes, uint64_t now_ns) noexcept {
  icr_ |= causes & kCauses;
  update(now_ns);
}

void Interrupts::received(uint64_t now_ns) noexcept {
  if (rdtr_ == 0 || !mitigation_) {
    rx_packet_ns_ = rx_absolute_ns_ = kNever;
    raise(kRxt0, now_ns);
    return;
  }
  rx_packet_ns_ = now_ns + rdtr_ * kDelayUnit_ns;
  if (radv_ != 0 && rx_absolute_ns_ == kNever) rx_absolute_ns_ = now_ns + radv_ * kDelayUnit_ns;
}

void Interrupts::transmitted(bool delayed, uint64_t now_ns) noexcept {
  if (!delayed || tidv_ == 0 || !mitigation_) {
    tx_packet_ns_ = tx_absolute_ns_ = kNever;
    raise(kTxdw, now_ns);
    return;
  }
  tx_packet_ns_ = now_ns + tidv_ * kDelayUnit_ns;
  if (tadv_ != 0 && tx_absolute_ns_ == kNever) tx_absolute_ns_ = now_ns + tadv_ * kDelayUnit_ns;
}

void Interrupts::advance(uint64_t now_ns) noexcept {
  uint32_t due = 0;
  if (now_ns >= std::min(rx_packet_ns_, rx_absolute_ns_)) {
    rx_packet_ns_ = rx_absolute_ns_ = kNever;
    due |= kRxt0;
  }
  if (now_ns >= std::min(tx_packet_ns_, tx_absolute_ns_)) {
    tx_packet_ns_ = tx_absolute_ns_ = kNever;
    due |= kTxdw;
  }
  if (due != 0)
    raise(due, now_ns);
  else if (now_ns >= throttled_ns_)
    update(now_ns);
}

uint64_t Interrupts::deadline_ns() const noexcept {
  return std::min({rx_packet_ns_, rx_absolute_ns_, tx_packet_ns_, tx_absolute_ns_, throttled_ns_});
}

void Interrupts::use_vectors(bool on, uint64_t now_ns) noexcept {
  if (on == vectors_) return;
  vectors_ = on;
  update(now_ns);
}

uint32_t Interrupts::take_vectors() noexcept {
  const uint32_t vectors = to_signal_;
  to_signal_ = 0;
  return vectors;
}

}  // namespace unetmap::e1000
