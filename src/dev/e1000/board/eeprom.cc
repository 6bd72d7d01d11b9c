// SPDX-License-Identifier: BSD-2-Clause
#include "dev/e1000/board/eeprom.hh"

namespace unetmap::e1000 {
namespace {

constexpr uint32_t kClock = 1, kSelect = 2, kIn = 4, kOut = 8, kRequest = 0x40, kGrant = 0x80, kPresent = 0x100;
constexpr uint32_t kDriverBits = kClock | kSelect | kIn | 0x30 | kRequest;
constexpr uint32_t kEerdStart = 1, kEerdDone = 1u << 4;
constexpr unsigned kAddressBits = 6, kCommandBits = 2 + kAddressBits;  // behind the start bit
constexpr uint16_t kSum = 0xbaba;

}  // namespace

// SDM table 5-2. What says nothing about a card without LEDs, flash and management is left erased.
Eeprom::Eeprom(const std::array<uint8_t, 6>& mac, bool paravirt) noexcept {
  words_.fill(0xffff);
  for (unsigned i = 0; i < 3; i++) words_[i] = static_cast<uint16_t>(mac[2 * i] | mac[2 * i + 1] << 8);
  words_[0x03] = 0;
  words_[0x08] = 0x3000;  // a board number that no board has
  words_[0x09] = 0x1000;
  words_[0x0a] = 0x6402;  // the words for the configuration space are valid
  words_[0x0b] = paravirt ? 0x1101 : 0x1100;
  words_[0x0c] = 0x1af4;
  words_[0x0d] = 0x100e;
  words_[0x0e] = 0x8086;
  words_[0x0f] = 0x3040;  // initialisation control 2
  for (unsigned i = 0x10; i < 0x20; i++) words_[i] = 0;
  words_[0x24] = 0;  // initialisation control 3, port A and B: no wake-up
  words_[0x14] = 0;
  uint16_t sum = 0;
  for (unsigned i = 0; i < kWords - 1; i++) sum = static_cast<uint16_t>(sum + words_[i]);
  words_[kWords - 1] = static_cast<uint16_t>(kSum - sum);
}

void Eeprom::reset() noexcept {
  eecd_ = eerd_ = 0;
  phase_ = Phase::kIdle;
  writable_ = false;
  out_ = true;
}

uint32_t Eeprom::read_eecd() const noexcept {
  // Nobody else wants the EEPROM: a request is granted at once.
  return eecd_ | kPresent | (eecd_ & kRequest ? kGrant : 0) | (out_ ? kOut : 0);
}

void Eeprom::write_eecd(uint32_t value) noexcept {
  const uint32_t before = eecd_;
  eecd_ = value & kDriverBits;
  if (!(value & kSelect)) {
    if (before & kSelect) finish_write();
    phase_ = Phase::kIdle;
    out_ = true;
    return;
  }
  if (!(before & kSelect)) {
    shift_ = 0;
    bits_ = 0;
    phase_ = Phase::kIdle;
  }
  if (!(before & kClock) && (value & kClock)) clock((value & kIn) != 0);
}

// A rising edge: the device takes DI, and puts the next bit on DO.
void Eeprom::clock(bool in) noexcept {
  switch (phase_) {
    case Phase::kIdle:
      if (in) phase_ = Phase::kCommand;  // the start bit
      return;
    case Phase::kCommand:
      shift_ = shift_ << 1 | (in ? 1 : 0);
      if (++bits_ == kCommandBits) command(shift_);
      return;
    case Phase::kRead:
      // Sixteen bits of a word, the highest first, then those of the next.
      out_ = (words_[(address_ + bits_ / 16) % kWords] >> (15 - bits_ % 16) & 1) != 0;
      bits_++;
      return;
    case Phase::kWrite:
      if (bits_ < 16) {
        shift_ = shift_ << 1 | (in ? 1 : 0);
        bits_++;
      }
      return;
    case Phase::kDone:
      return;
  }
}

void Eeprom::command(uint32_t bits) noexcept {
  address_ = bits & (kWords - 1);
  shift_ = 0;
  bits_ = 0;
  phase_ = Phase::kDone;
  write_all_ = false;
  switch (bits >> kAddressBits) {
    case 2:  // READ: a zero stands before the first bit
      phase_ = Phase::kRead;
      out_ = false;
      return;
    case 1:  // WRITE: happens when the chip is deselected
      phase_ = Phase::kWrite;
      return;
    case 3:  // ERASE
      if (writable_) words_[address_] = 0xffff;
      return;
    default:
      break;
  }
  switch (address_ >> (kAddressBits - 2)) {
    case 3:
      writable_ = true;
      return;
    case 2:
      if (writable_) words_.fill(0xffff);
      return;
    case 1:
      write_all_ = true;
      phase_ = Phase::kWrite;
      return;
    default:
      writable_ = false;
  }
}

void Eeprom::finish_write() noexcept {
  if (phase_ != Phase::kWrite || bits_ != 16 || !writable_) return;
  const auto value = static_cast<uint16_t>(shift_);
  if (write_all_)
    words_.fill(value);
  else
    words_[address_] = value;
}

// 82540EM: the address in bits 15:8, the word in 31:16. Beyond the end there is nothing, but the read is done.
void Eeprom::write_eerd(uint32_t value) noexcept {
  eerd_ = value & 0xff00;
  if (!(value & kEerdStart)) return;
  const unsigned index = value >> 8 & 0xff;
  eerd_ |= kEerdDone | (index < kWords ? uint32_t{words_[index]} << 16 : 0);
}

}  // namespace unetmap::e1000
