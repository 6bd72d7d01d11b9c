// SPDX-License-Identifier: BSD-2-Clause
// Offsets and bits of the registers, named as in the SDM (chapter 13). All are 32 bits wide, little endian.
#pragma once

#include <cstdint>

namespace unetmap::e1000 {

namespace reg {

inline constexpr uint32_t kCtrl = 0x0000, kStatus = 0x0008, kEecd = 0x0010, kEerd = 0x0014, kCtrlExt = 0x0018,
                          kMdic = 0x0020, kFcal = 0x0028, kFcah = 0x002c, kFct = 0x0030, kVet = 0x0038;
inline constexpr uint32_t kIcr = 0x00c0, kItr = 0x00c4, kIcs = 0x00c8, kIms = 0x00d0, kImc = 0x00d8;
inline constexpr uint32_t kRctl = 0x0100, kFcttv = 0x0170, kTxcw = 0x0178, kRxcw = 0x0180, kTctl = 0x0400,
                          kTipg = 0x0410, kAifs = 0x0458, kLedctl = 0x0e00, kPba = 0x1000, kFcrtl = 0x2160,
                          kFcrth = 0x2168;
inline constexpr uint32_t kRdbal = 0x2800, kRdbah = 0x2804, kRdlen = 0x2808, kRdh = 0x2810, kRdt = 0x2818,
                          kRdtr = 0x2820, kRxdctl = 0x2828, kRadv = 0x282c;
inline constexpr uint32_t kCsbal = 0x2830, kCsbah = 0x2834;  // of the paravirtual extension
inline constexpr uint32_t kTxdmac = 0x3000, kTdbal = 0x3800, kTdbah = 0x3804, kTdlen = 0x3808, kTdh = 0x3810,
                          kTdt = 0x3818, kTidv = 0x3820, kTxdctl = 0x3828, kTadv = 0x382c, kTspmt = 0x3830;
inline constexpr uint32_t kStatistics = 0x4000, kStatisticsEnd = 0x4100;
inline constexpr uint32_t kRxcsum = 0x5000, kMta = 0x5200, kRa = 0x5400, kVfta = 0x5600;
inline constexpr uint32_t kWuc = 0x5800, kWufc = 0x5808, kWus = 0x5810, kManc = 0x5820, kIpav = 0x5838, kIp4at = 0x5840,
                          kIp6at = 0x5880, kWupl = 0x5900, kWupm = 0x5a00, kFflt = 0x5f00;
inline constexpr uint32_t kFfmt = 0x9000, kFfvt = 0x9800, kPacketBuffer = 0x10000;

}  // namespace reg

// CTRL
inline constexpr uint32_t kCtrlFd = 1u << 0, kCtrlSlu = 1u << 6, kCtrlSpeedShift = 8, kCtrlFrcspd = 1u << 11,
                          kCtrlFrcdplx = 1u << 12, kCtrlRst = 1u << 26, kCtrlVme = 1u << 30, kCtrlPhyRst = 1u << 31;
inline constexpr uint32_t kCtrlAtReset = 0x0014'0240;  // both software pins high, 1000 Mb/s, link set up by the EEPROM
// STATUS
inline constexpr uint32_t kStatusFd = 1u << 0, kStatusLu = 1u << 1, kStatusTxoff = 1u << 4, kStatusSpeedShift = 6,
                          kStatusAsdvShift = 8;
// CTRL_EXT
inline constexpr uint32_t kCtrlExtEeRst = 1u << 13;
// MDIC
inline constexpr uint32_t kMdicWrite = 1u << 26, kMdicRead = 2u << 26, kMdicReady = 1u << 28, kMdicInterrupt = 1u << 29,
                          kMdicError = 1u << 30;
// ICR, ICS, IMS, IMC
inline constexpr uint32_t kTxdw = 1u << 0, kTxqe = 1u << 1, kLsc = 1u << 2, kRxseq = 1u << 3, kRxdmt0 = 1u << 4,
                          kRxo = 1u << 6, kRxt0 = 1u << 7, kMdac = 1u << 9, kTxdLow = 1u << 15;
inline constexpr uint32_t kReceiveCauses = kRxdmt0 | kRxo | kRxt0, kTransmitCauses = kTxdw | kTxqe | kTxdLow;
// RCTL
inline constexpr uint32_t kRctlEn = 1u << 1, kRctlSbp = 1u << 2, kRctlUpe = 1u << 3, kRctlMpe = 1u << 4,
                          kRctlLpe = 1u << 5, kRctlLbmShift = 6, kRctlRdmtsShift = 8, kRctlMoShift = 12,
                          kRctlBam = 1u << 15, kRctlBsizeShift = 16, kRctlVfe = 1u << 18, kRctlCfien = 1u << 19,
                          kRctlCfi = 1u << 20, kRctlDpf = 1u << 22, kRctlBsex = 1u << 25, kRctlSecrc = 1u << 26;
// TCTL
inline constexpr uint32_t kTctlEn = 1u << 1, kTctlPsp = 1u << 3;
// RDTR
inline constexpr uint32_t kRdtrFpd = 1u << 31;
// RXCSUM
inline constexpr uint32_t kRxcsumPcss = 0xff, kRxcsumIpofl = 1u << 8, kRxcsumTuofl = 1u << 9;
// RAH
inline constexpr uint32_t kRahSource = 1u << 16, kRahValid = 1u << 31;

inline constexpr uint32_t kDescriptorBytes = 16;

}  // namespace unetmap::e1000
