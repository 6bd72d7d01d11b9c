// SPDX-License-Identifier: BSD-2-Clause
#include "dev/e1000/register_file.hh"

#include <algorithm>
#include <iterator>

#include "dev/e1000/registers.hh"

namespace unetmap::e1000 {
namespace {

struct Plain {
  uint32_t offset;
  uint32_t mask;  // bits that can be written
  uint32_t at_reset = 0;
  uint32_t count = 1;
  uint32_t stride = 4;
};

constexpr uint32_t kAll = 0xffff'ffff;
constexpr Plain kPlain[] = {
    {reg::kCtrlExt, 0xffff'dfff},
    {reg::kFcal, kAll},
    {reg::kFcah, 0xffff},
    {reg::kFct, 0xffff},
    {reg::kFcttv, 0xffff},
    {reg::kTxcw, 0xc000'ffff},
    {reg::kTipg, 0x3fff'ffff, 0x0060'2008},
    {reg::kAifs, 0xffff},
    {reg::kLedctl, kAll, 0x0706'8302},
    {reg::kFcrtl, 0x8000'fff8},
    {reg::kFcrth, 0x8000'fff8},
    {0x2410, 0x1fff, 0, 4, 8},  // RDFH, RDFT, RDFHS, RDFTS
    {0x2430, 0x1fff},           // RDFPC
    {reg::kRxdctl, kAll, 0x0001'0000},
    {reg::kTxdmac, 1},
    {0x3410, 0x07ff, 0, 2, 8},  // TDFH, TDFT
    {0x3420, 0x1fff, 0, 3, 8},  // TDFHS, TDFTS, TDFPC
    {reg::kTspmt, kAll, 0x0100'0400},
    {reg::kWuc, kAll},
    {reg::kWufc, kAll},
    {reg::kWus, kAll},
    {reg::kManc, kAll},
    {reg::kIpav, kAll},
    {reg::kIp4at, kAll, 0, 7},
    {reg::kIp6at, kAll, 0, 4},
    {reg::kWupm, kAll, 0, 32},
    {reg::kFflt, 0x7ff, 0, 4, 8},
    {0x5b50, 3},  // SWSM of later cards: U-Boot takes that semaphore on every one, and waits until it has it
    {reg::kFfmt, 0xf, 0, 128, 8},
    {reg::kFfvt, kAll, 0, 128, 8},
};

constexpr auto masks() {
  std::array<uint32_t, 0xa000 / 4> out{};
  for (const Plain& plain : kPlain)
    for (uint32_t i = 0; i < plain.count; i++) out[(plain.offset + i * plain.stride) / 4] = plain.mask;
  return out;
}
constexpr auto kMasks = masks();

}  // namespace

RegisterFile::RegisterFile() : packet_buffer_(std::make_unique<uint32_t[]>(kPacketBufferBytes / 4)) { reset(); }

void RegisterFile::reset() noexcept {
  values_ = {};
  for (const Plain& plain : kPlain) values_[plain.offset / 4] = plain.at_reset;
}

uint32_t RegisterFile::read(uint32_t offset) const noexcept {
  if (offset < kEnd) return values_[offset / 4];
  if (offset - kPacketBufferAt < kPacketBufferBytes) return packet_buffer_[(offset - kPacketBufferAt) / 4];
  return 0;
}

void RegisterFile::write(uint32_t offset, uint32_t value) noexcept {
  if (offset < kEnd)
    values_[offset / 4] = value & kMasks[offset / 4];
  else if (offset - kPacketBufferAt < kPacketBufferBytes)
    packet_buffer_[(offset - kPacketBufferAt) / 4] = value;
}

}  // namespace unetmap::e1000
