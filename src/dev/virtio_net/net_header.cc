// SPDX-License-Identifier: BSD-2-Clause
#include "dev/virtio_net/net_header.hh"

namespace unetmap::virtio {
namespace {

constexpr uint32_t kChecksumFieldBytes = 2;

bool takes_type(uint8_t gso_type, const Offloads& agreed) noexcept {
  if ((gso_type & vale::kGsoEcn) && !agreed.ecn) return false;
  switch (gso_type) {
    case vale::kGsoNone:
      return true;
    case vale::kGsoTcp4:
    case vale::kGsoTcp4 | vale::kGsoEcn:
      return agreed.tso4;
    case vale::kGsoTcp6:
    case vale::kGsoTcp6 | vale::kGsoEcn:
      return agreed.tso6;
    case vale::kGsoUdpSegment:
      return agreed.uso;
    default:
      return false;
  }
}

uint32_t checksum_end(const vale::VnetHdr& hdr) noexcept {
  return uint32_t{hdr.csum_start} + hdr.csum_offset + kChecksumFieldBytes;
}

bool checksum_in_frame(const vale::VnetHdr& hdr, uint64_t frame_bytes) noexcept {
  return hdr.csum_start >= kMinFrameBytes && checksum_end(hdr) <= frame_bytes;
}

}  // namespace

const char* counter_name(HeaderFault fault) noexcept {
  switch (fault) {
    case HeaderFault::kNone:
      return "none";
    case HeaderFault::kNoHeader:
      return "tx_no_header";
    case HeaderFault::kFrameTooShort:
      return "tx_frame_too_short";
    case HeaderFault::kFrameTooLong:
      return "tx_frame_too_long";
    case HeaderFault::kGsoType:
      return "tx_gso_type";
    case HeaderFault::kGsoSize:
      return "tx_gso_size";
    case HeaderFault::kGsoChecksum:
      return "tx_gso_without_checksum";
    case HeaderFault::kHeaderLength:
      return "tx_header_length";
    case HeaderFault::kChecksum:
      return "tx_checksum_not_negotiated";
    case HeaderFault::kChecksumRange:
      return "tx_checksum_range";
  }
  return "unknown";
}

HeaderFault check_request(vale::VnetHdr& hdr, uint64_t frame_bytes, const Offloads& agreed) noexcept {
  if (!takes_type(hdr.gso_type, agreed)) return HeaderFault::kGsoType;
  if (hdr.flags == 0) return HeaderFault::kGsoChecksum;
  if (!agreed.checksum) return HeaderFault::kChecksum;
  if (!checksum_in_frame(hdr, frame_bytes)) return HeaderFault::kChecksumRange;
  if (hdr.gso_type == vale::kGsoNone) {
    hdr.gso_size = hdr.hdr_len = 0;
    return HeaderFault::kNone;
  }
  if (hdr.gso_size == 0) return HeaderFault::kGsoSize;
  if (hdr.hdr_len > frame_bytes) return HeaderFault::kHeaderLength;
  if (hdr.hdr_len < checksum_end(hdr)) hdr.hdr_len = static_cast<uint16_t>(checksum_end(hdr));
  return HeaderFault::kNone;
}

Fit fit(const vale::VnetHdr& hdr, uint64_t frame_bytes, const Offloads& agreed) noexcept {
  if (frame_bytes < kMinFrameBytes || frame_bytes > kMaxFrameBytes) return Fit::kBad;
  const bool needs_checksum = (hdr.flags & vale::kVnetNeedsCsum) != 0;
  if (!needs_checksum && hdr.gso_type == vale::kGsoNone) [[likely]]
    return Fit::kWhole;
  if (needs_checksum && !checksum_in_frame(hdr, frame_bytes)) return Fit::kBad;
  if (hdr.gso_type != vale::kGsoNone && (hdr.gso_size == 0 || hdr.hdr_len > frame_bytes)) return Fit::kBad;
  // A guest need not take a large frame whose checksum it cannot complete, even if the sender says it is complete.
  const bool whole = takes_type(hdr.gso_type, agreed) && (needs_checksum ? agreed.checksum : hdr.gso_type == 0);
  return whole ? Fit::kWhole : Fit::kSoftware;
}

}  // namespace unetmap::virtio
