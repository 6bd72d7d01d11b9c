// SPDX-License-Identifier: BSD-2-Clause
#include "driver/e1000/device.hh"

#include <cerrno>
#include <cstring>
#include <utility>

#include "dev/e1000/csb.hh"
#include "dev/e1000/registers.hh"
#include "guest/words.hh"

namespace unetmap::driver {
namespace {

namespace reg = unetmap::e1000::reg;
using namespace unetmap::e1000;

constexpr uint32_t kCtrlAsde = 1u << 5;
constexpr uint32_t kAddressValid = 1u << 31;                 // RAH
constexpr uint32_t kPhyAddress = 1u << 21, kPhyControl = 0;  // MDIC's field; MII register 0
constexpr unsigned kPhyRegisterShift = 16;
constexpr uint16_t kAutoNegotiate = 1u << 12, kRestartNegotiation = 1u << 9;
constexpr uint32_t kTctlAtWork = kTctlEn | kTctlPsp | 0x0fu << 4 | 0x40u << 12;  // collisions as for full duplex
constexpr uint32_t kTipgCopper = 10 | 8u << 10 | 6u << 20;
// With buffers of 1024 bytes a frame takes several; of 2048, which only a frame of up to 1522 bytes may fill here.
constexpr uint32_t kBsize1024 = 1u << kRctlBsizeShift;
constexpr uint32_t kOrdinaryMtu = 1500;

// Of those on PCI Express.
constexpr uint32_t kCtrlGioMasterDisable = 1u << 2, kStatusGioMasterEnable = 1u << 19;
constexpr uint32_t kTxdctlReservedOne = 1u << 22;  // of the 82574L
constexpr uint32_t kRfctl = 0x5008;
constexpr uint32_t kMasterTries = 80, kMasterPause_us = 100;
// Of the 82576. SRRCTL stands where the 82540EM has no register.
constexpr uint32_t kSrrctl = reg::kRdbal + 0xc, kSrrctlOneBuffer = 1u << 25;
constexpr uint32_t kXdctlEnable = 1u << 25, kRxdctlWriteBackEach = 1u << 16, kEitr = 0x1680, kRlpml = 0x5004;

constexpr uint32_t kResetPause_us = 100, kDrainPause_us = 10'000, kPhyPause_us = 50, kPhyTries = 64, kResetTries = 100;

}  // namespace

bool E1000Device::write_phy(uint32_t phy_register, uint16_t value, const PauseFor& pause) {
  registers_.write32(reg::kMdic, kMdicWrite | kPhyAddress | phy_register << kPhyRegisterShift | value);
  for (uint32_t i = 0; i < kPhyTries; i++) {
    if (registers_.read32(reg::kMdic) & kMdicReady) return true;
    pause(kPhyPause_us);
  }
  return false;
}

// A driver that let go of it may have switched it off.
bool E1000Device::wake_phy(const PauseFor& pause) {
  return write_phy(kPhyControl, kAutoNegotiate | kRestartNegotiation, pause);
}

void E1000Device::set_filters(const DeviceSettings& settings) {
  const auto& mac = settings.mac;
  registers_.write32(reg::kRa,
                     uint32_t(mac[0]) | uint32_t(mac[1]) << 8 | uint32_t(mac[2]) << 16 | uint32_t(mac[3]) << 24);
  registers_.write32(reg::kRa + 4, uint32_t(mac[4]) | uint32_t(mac[5]) << 8 | kAddressValid);
  constexpr uint32_t kAddresses = 16, kTableWords = 128;
  for (uint32_t i = 1; i < kAddresses; i++) registers_.write32(reg::kRa + 8 * i + 4, 0);
  for (uint32_t i = 0; i < kTableWords; i++) registers_.write32(reg::kMta + 4 * i, 0);
}

void E1000Device::set_rings(const DeviceSettings& settings) {
  const uint64_t tx = settings.page_addresses[kTxDescriptors], rx = settings.page_addresses[kRxDescriptors];
  for (const auto& [first, address] : {std::pair{card_.tx_registers, tx}, std::pair{card_.rx_registers, rx}}) {
    auto at = [base = first - reg::kTdbal](uint32_t of_tx) { return base + of_tx; };
    registers_.write32(at(reg::kTdbal), uint32_t(address));
    registers_.write32(at(reg::kTdbah), uint32_t(address >> 32));
    registers_.write32(at(reg::kTdlen), settings.descriptors * kDescriptorBytes);
    registers_.write32(at(reg::kTdh), 0);
    registers_.write32(at(reg::kTdt), 0);
  }
}

// What is not as in an 82540EM.
void E1000Device::set_express(bool long_frames) {
  if (!card_.advanced) {
    registers_.write32(kRfctl, 0);  // legacy descriptors
    registers_.write32(reg::kTxdctl, kTxdctlReservedOne);
    return;
  }
  registers_.write32(kEitr, 0);
  registers_.write32(kRlpml, card_.most_bytes);
  registers_.write32(card_.rx(kSrrctl), kSrrctlOneBuffer | (long_frames ? 1 : 2));  // of 1024 bytes
  registers_.write32(card_.rx(reg::kRxdctl), kXdctlEnable | kRxdctlWriteBackEach);
  registers_.write32(card_.tx(reg::kTxdctl), kXdctlEnable);
}

// Until then a request of its own may be under way.
void E1000Device::end_mastership(const PauseFor& pause) {
  registers_.write32(reg::kCtrl, registers_.read32(reg::kCtrl) | kCtrlGioMasterDisable);
  for (uint32_t i = 0; i < kMasterTries && (registers_.read32(reg::kStatus) & kStatusGioMasterEnable); i++)
    pause(kMasterPause_us);
}

// It shows the block how far it is, and asks to be woken, when it is told of it.
void E1000Device::set_block(const DeviceSettings& settings, Shared& shared) {
  uint8_t* block = settings.control_page;
  if (!settings.paravirt || block == nullptr) return;
  memset(block, 0, csb::kBytes);
  // No interrupts; a round without work, and the card sleeps.
  store_relaxed32(block + csb::kGuestTxkickAt, csb::kNowhere);
  store_relaxed32(block + csb::kHostTxcyclesLim, 1);
  store_release32(block + csb::kGuestCsbOn, 1);
  const uint64_t address = settings.page_addresses[kControl];
  registers_.write32(reg::kCsbah, uint32_t(address >> 32));
  registers_.write32(reg::kCsbal, uint32_t(address));
  shared.block = 1;
}

Result<void> E1000Device::start(const DeviceSettings& settings, Shared& shared, const PauseFor& pause) {
  stop(pause);
  if (registers_.read32(reg::kStatus) == UINT32_MAX)
    return Error{EIO, "e1000: its registers read as all ones; it may be asleep or gone, look at lspci"};
  // Set the link up, and no tags out of frames.
  registers_.write32(reg::kCtrl, kCtrlSlu | (card_.advanced ? 0 : kCtrlAsde) | kCtrlFd);
  set_filters(settings);
  set_rings(settings);
  const bool long_frames = settings.mtu > kOrdinaryMtu;
  // No interrupts but those that somebody waits for, and none of the timers.
  if (!card_.advanced)
    for (uint32_t timer : {reg::kRdtr, reg::kRadv, reg::kTidv, reg::kTadv, reg::kItr}) registers_.write32(timer, 0);
  registers_.write32(reg::kRxcsum, 0);
  registers_.write32(reg::kTipg, kTipgCopper);
  uint32_t rctl = kRctlEn | kRctlBam | kRctlMpe | kRctlSecrc;
  if (settings.promiscuous) rctl |= kRctlUpe;
  if (long_frames) rctl |= kRctlLpe | kBsize1024;
  if (!wake_phy(pause)) return Error{EIO, "e1000: its PHY does not answer; take another mode (--nic-mode)"};
  if (card_.express) set_express(long_frames);
  shared.block = 0;
  set_block(settings, shared);
  registers_.write32(reg::kTctl, kTctlAtWork);
  registers_.write32(reg::kRctl, rctl);
  shared.model = Model::kE1000;
  shared.e1000_kind = uint32_t(kind_);
  shared.descriptors = settings.descriptors;
  shared.pair_count = 1;
  shared.bar_bytes = kBarBytes;
  shared.most_bytes = card_.most_bytes;
  return {};
}

void E1000Device::stop(const PauseFor& pause) {
  registers_.write32(reg::kImc, UINT32_MAX);
  registers_.write32(reg::kRctl, 0);
  registers_.write32(reg::kTctl, kTctlPsp);
  (void)registers_.read32(reg::kStatus);  // the writes have arrived
  pause(kDrainPause_us);                  // what was under way is over
  if (card_.express) end_mastership(pause);
  registers_.write32(reg::kCtrl, registers_.read32(reg::kCtrl) | kCtrlRst);
  pause(kResetPause_us);
  for (uint32_t i = 0; i < kResetTries && (registers_.read32(reg::kCtrl) & kCtrlRst); i++) pause(kResetPause_us);
  registers_.write32(reg::kImc, UINT32_MAX);
  (void)registers_.read32(reg::kIcr);
}

bool E1000Device::running() {
  const uint32_t rctl = registers_.read32(reg::kRctl);
  return rctl != UINT32_MAX && (rctl & kRctlEn);
}

bool E1000Device::link_up() { return registers_.read32(reg::kStatus) & kStatusLu; }

}  // namespace unetmap::driver
