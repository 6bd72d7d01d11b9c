// SPDX-License-Identifier: BSD-2-Clause
#include "dev/e1000/board/phy.hh"

namespace unetmap::e1000 {
namespace {

constexpr uint64_t kNever = UINT64_MAX;
// Registers: IEEE 802.3, 22.2.4, and those of the M88E1011 from 16 on.
constexpr unsigned kControl = 0, kStatus = 1, kId1 = 2, kId2 = 3, kAdvertised = 4, kPartner = 5, kExpansion = 6,
                   kNextPage = 7, kGigabitControl = 9, kGigabitStatus = 10, kExtendedStatus = 15, kSpecific = 16,
                   kSpecificStatus = 17, kInterruptEnable = 18, kInterruptStatus = 19, kExtendedSpecific = 20,
                   kErrors = 21, kLedControl = 24, kPage = 29, kGeneral = 30;
constexpr uint16_t kReset = 0x8000, kLoopback = 0x4000, kNegotiate = 0x1000, kPowerDown = 0x0800, kRestart = 0x0200,
                   kFullDuplex = 0x0100;
constexpr uint16_t kLinkStatus = 0x0004, kComplete = 0x0020;
constexpr uint32_t kReadable = 1u << kControl | 1u << kStatus | 1u << kId1 | 1u << kId2 | 1u << kAdvertised |
                               1u << kPartner | 1u << kExpansion | 1u << kNextPage | 1u << kGigabitControl |
                               1u << kGigabitStatus | 1u << kExtendedStatus | 1u << kSpecific | 1u << kSpecificStatus |
                               1u << kInterruptEnable | 1u << kInterruptStatus | 1u << kExtendedSpecific |
                               1u << kErrors | 1u << kLedControl | 1u << kPage | 1u << kGeneral;
constexpr uint32_t kWritable = 1u << kControl | 1u << kAdvertised | 1u << kNextPage | 1u << kGigabitControl |
                               1u << kSpecific | 1u << kInterruptEnable | 1u << kExtendedSpecific | 1u << kLedControl |
                               1u << kPage | 1u << kGeneral;

}  // namespace

void Phy::power_on() noexcept {
  registers_ = {};
  registers_[kControl] = kNegotiate | kFullDuplex | 0x0040;
  registers_[kStatus] = 0x7949 | kLinkStatus;  // all of 10 and 100 Mb/s, extended status, able to negotiate
  registers_[kId1] = 0x0141;
  registers_[kId2] = 0x0c20;
  registers_[kAdvertised] = 0x0de1;
  registers_[kPartner] = 0x01e0;
  registers_[kGigabitControl] = 0x0e00;
  registers_[kGigabitStatus] = 0x3c00;
  registers_[kExtendedStatus] = 0x3000;
  registers_[kSpecific] = 0x0360;
  registers_[kSpecificStatus] = 0xac00;
  registers_[kExtendedSpecific] = 0x0d60;
  negotiated_ns_ = kNever;
  link_ = true;
  set_link(cable_);
}

void Phy::reset(uint64_t now_ns) noexcept {
  power_on();
  settle(now_ns);
}

bool Phy::loopback() const noexcept { return (registers_[kControl] & kLoopback) != 0; }

unsigned Phy::speed() const noexcept {
  const uint16_t control = registers_[kControl];
  if (control & kNegotiate) return 2;
  return (control & 0x0040) ? 2 : (control & 0x2000) ? 1 : 0;
}

bool Phy::full_duplex() const noexcept {
  return (registers_[kControl] & kNegotiate) != 0 || (registers_[kControl] & kFullDuplex) != 0;
}

bool Phy::read(unsigned index, uint16_t& value) noexcept {
  if (index >= registers_.size() || !(kReadable >> index & 1)) return false;
  value = registers_[index];
  if (index == kStatus && link_) registers_[kStatus] |= kLinkStatus;  // a loss of link stays to be seen once
  if (index == kInterruptStatus || index == kErrors) registers_[index] = 0;
  return true;
}

bool Phy::write(unsigned index, uint16_t value, uint64_t now_ns) noexcept {
  if (index >= registers_.size() || !(kWritable >> index & 1)) return false;
  if (index != kControl) {
    registers_[index] = value;
    return true;
  }
  const uint16_t before = registers_[kControl];
  registers_[kControl] = static_cast<uint16_t>(value & ~(kReset | kRestart | 0x003f));
  // What begins a negotiation, or brings the link with a forced speed, takes its time.
  constexpr uint16_t kMode = kNegotiate | kPowerDown | kLoopback | 0x2040;
  if ((value & (kReset | kRestart)) || ((value ^ before) & kMode)) settle(now_ns);
  return true;
}

void Phy::settle(uint64_t now_ns) noexcept {
  const uint16_t control = registers_[kControl];
  if (control & kLoopback) {  // the transmitter hears itself: that is a link
    negotiated_ns_ = kNever;
    set_link(true);
    return;
  }
  set_link(false);
  registers_[kStatus] &= static_cast<uint16_t>(~kComplete);
  negotiated_ns_ = cable_ && !(control & kPowerDown) ? now_ns + kNegotiation_ns : kNever;
}

void Phy::set_cable(bool in, uint64_t now_ns) noexcept {
  if (in == cable_) return;
  cable_ = in;
  if (!loopback()) settle(now_ns);
}

void Phy::advance(uint64_t now_ns) noexcept {
  if (now_ns < negotiated_ns_) return;
  negotiated_ns_ = kNever;
  set_link(true);
  if (registers_[kControl] & kNegotiate) registers_[kStatus] |= kComplete;
}

void Phy::set_link(bool up) noexcept {
  constexpr uint16_t kPartnerAcknowledged = 0x4000, kLink = 0x0400, kResolved = 0x0800;
  constexpr uint16_t kLinkChanged = 0x0400;
  if (up != link_) registers_[kInterruptStatus] |= kLinkChanged;
  link_ = up;
  if (up) {  // the status register shows it once its reader has seen the loss: 22.2.4.2.13
    registers_[kPartner] |= kPartnerAcknowledged;
    registers_[kSpecificStatus] =
        static_cast<uint16_t>(speed() << 14 | (full_duplex() ? 0x2000 : 0) | kResolved | kLink);
  } else {
    registers_[kStatus] &= static_cast<uint16_t>(~kLinkStatus);
    registers_[kPartner] &= static_cast<uint16_t>(~kPartnerAcknowledged);
    registers_[kSpecificStatus] &= static_cast<uint16_t>(~(kLink | kResolved));
  }
}

}  // namespace unetmap::e1000
