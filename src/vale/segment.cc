// SPDX-License-Identifier: BSD-2-Clause
#include "vale/segment.hh"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "vale/checksum.hh"
#include "vale/wire_bytes.hh"

namespace unetmap::vale {
namespace {

constexpr size_t kUdpHeaderBytes = 8;
constexpr size_t kTcpMinHeaderBytes = 20;
constexpr size_t kTcpSequence = 4, kTcpDataOffset = 12, kTcpFlags = 13, kTcpChecksum = 16;
constexpr size_t kUdpLength = 4, kUdpChecksum = 6;
constexpr size_t kIp4TotalLength = 2, kIp4Identification = 4, kIp4Fragment = 6, kIp4Checksum = 10, kIp4Source = 12;
constexpr size_t kIp6HeaderBytes = 40;
constexpr size_t kIp6PayloadLength = 4, kIp6Source = 8;
constexpr size_t kIpMaxBytes = 65535;
constexpr uint16_t kIp4MoreFragments = 0x2000;
constexpr uint8_t kFin = 0x01, kPsh = 0x08, kCwr = 0x80;

// A hash of what tells one datagram from the next, for IPv6 fragments: the frame carries no identification to use.
uint32_t mix_identification(uint64_t sum, uint32_t seed) noexcept {
  uint64_t x = sum + (uint64_t{seed} << 32 | seed);
  x = (x ^ x >> 31) * 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9u;
  return static_cast<uint32_t>(x >> 32);
}

}  // namespace

Refusal SegmentPlan::make(std::span<const uint8_t> frame, const VnetHdr& hdr, size_t max_frame,
                          uint32_t fragment_seed) noexcept {
  frame_ = frame;
  frames_ = 0;
  const std::span<const uint8_t> start(headers_.data(), std::min(frame.size(), kMaxHeaderBytes));
  std::copy_n(frame.begin(), start.size(), headers_.begin());
  const bool whole = start.size() == frame.size();

  Refusal refusal = parse_headers(start, layout_);
  if (refusal == Refusal::kNone) refusal = choose_kind(hdr);
  if (refusal == Refusal::kNone) refusal = check_transport(start, hdr);
  if (refusal == Refusal::kTruncatedHeaders && !whole) refusal = Refusal::kHeadersTooLong;
  if (refusal == Refusal::kNone) refusal = choose_step(hdr.gso_size, max_frame);
  if (refusal != Refusal::kNone) return refusal;

  const size_t payload = frame_.size() - payload_at_;
  frames_ = payload <= step_ ? 1 : (payload + step_ - 1) / step_;
  if (frames_ == 1) return Refusal::kNone;

  const size_t source = layout_.network + (layout_.ipv6 ? kIp6Source : kIp4Source);
  const size_t address_bytes = layout_.ipv6 ? 16 : 4;
  pseudo_sum_ = checksum_add_number(layout_.protocol, 0);
  pseudo_sum_ = checksum_add({&headers_[source], address_bytes}, pseudo_sum_);
  pseudo_sum_ = checksum_add({&headers_[layout_.final_destination], address_bytes}, pseudo_sum_);
  if (kind_ == Kind::kFragments) prepare_fragments((hdr.flags & kVnetNeedsCsum) != 0, fragment_seed);
  return Refusal::kNone;
}

Refusal SegmentPlan::choose_kind(const VnetHdr& hdr) noexcept {
  switch (hdr.gso_type) {
    case kGsoTcp4:
    case kGsoTcp4 | kGsoEcn:
    case kGsoTcp6:
    case kGsoTcp6 | kGsoEcn: {
      const bool ipv6 = (hdr.gso_type & ~kGsoEcn) == kGsoTcp6;
      if (layout_.protocol != IPPROTO_TCP || layout_.ipv6 != ipv6) return Refusal::kGsoMismatch;
      kind_ = Kind::kTcp;
      return Refusal::kNone;
    }
    case kGsoUdpSegment:
    case kGsoUdpFragment:
      if (layout_.protocol != IPPROTO_UDP) return Refusal::kGsoMismatch;
      kind_ = hdr.gso_type == kGsoUdpSegment ? Kind::kDatagrams : Kind::kFragments;
      return Refusal::kNone;
    default:
      return Refusal::kUnknownGso;
  }
}

// Sizes of the transport header, and whether the sender's idea of the checksum agrees with it.
Refusal SegmentPlan::check_transport(std::span<const uint8_t> bytes, const VnetHdr& hdr) noexcept {
  const bool tcp = kind_ == Kind::kTcp;
  const size_t at = layout_.transport;
  if (bytes.size() - at < (tcp ? kTcpMinHeaderBytes : kUdpHeaderBytes)) return Refusal::kTruncatedHeaders;
  const bool needs_csum = (hdr.flags & kVnetNeedsCsum) != 0;
  if (needs_csum && (hdr.csum_start != at || hdr.csum_offset != (tcp ? kTcpChecksum : kUdpChecksum))) {
    return Refusal::kChecksumRange;
  }
  if (tcp) {
    const size_t tcp_bytes = size_t{bytes[at + kTcpDataOffset]} / 16 * 4;
    if (tcp_bytes < kTcpMinHeaderBytes) return Refusal::kBadTransport;
    if (bytes.size() - at < tcp_bytes) return Refusal::kTruncatedHeaders;
    header_bytes_ = at + tcp_bytes;
  } else {
    header_bytes_ = at + kUdpHeaderBytes;
  }
  payload_at_ = header_bytes_;
  // A zero field in UDP over IPv4 means that the sender wants no checksum.
  const bool no_checksum = !tcp && !layout_.ipv6 && !needs_csum && load_be16(&bytes[at + kUdpChecksum]) == 0;
  transport_checksum_ = !no_checksum;

  if (kind_ == Kind::kFragments) {
    // What is cut is the IP payload: the UDP header, and the extension headers that belong to the fragmentable part.
    if (load_be16(&bytes[at + kUdpLength]) != frame_.size() - at) return Refusal::kBadTransport;
    payload_at_ = layout_.ipv6 ? layout_.fragmentable : at;
    header_bytes_ = payload_at_ + (layout_.ipv6 ? kFragmentHeaderBytes : 0);
    const size_t reassembled = frame_.size() - layout_.network - (layout_.ipv6 ? kIp6HeaderBytes : 0);
    if (reassembled > kIpMaxBytes) return Refusal::kFrameTooLong;
  }
  return Refusal::kNone;
}

// Payload bytes per output frame: what the sender asked for, unless the destination or the IP length field is shorter.
Refusal SegmentPlan::choose_step(size_t gso_size, size_t max_frame) noexcept {
  const size_t tags = kVlanTagBytes * layout_.vlan_tags;
  const size_t limit = max_frame > SIZE_MAX - tags ? SIZE_MAX : max_frame + tags;
  const size_t counted_from = layout_.network + (layout_.ipv6 ? kIp6HeaderBytes : 0);
  if (limit <= header_bytes_) return Refusal::kFrameTooLong;
  const size_t room = std::min(limit - header_bytes_, kIpMaxBytes - (header_bytes_ - counted_from));
  step_ = std::min(gso_size, room);
  size_t least = kMinSegmentBytes;
  if (kind_ == Kind::kFragments) {
    step_ &= ~size_t{7};
    least = layout_.transport + kUdpHeaderBytes - payload_at_;  // the first fragment holds all headers (RFC 7112)
  }
  if (step_ < least) return Refusal::kSegmentTooSmall;
  const bool resized = step_ < gso_size && frame_.size() - payload_at_ > step_;
  if (kind_ == Kind::kDatagrams && resized) return Refusal::kFrameTooLong;
  return Refusal::kNone;
}

// Computes the checksum of the whole datagram, and makes room for the fragment header in IPv6.
void SegmentPlan::prepare_fragments(bool needs_csum, uint32_t fragment_seed) noexcept {
  const size_t at = layout_.transport;
  const size_t udp_bytes = frame_.size() - at;
  // A checksum that is complete stays right, as fragments do not change the datagram.
  transport_checksum_ = needs_csum;
  uint64_t sum = checksum_add_number(static_cast<uint16_t>(udp_bytes), pseudo_sum_);
  sum = checksum_add({&headers_[at], kUdpChecksum}, sum);
  sum = checksum_add(frame_.subspan(at + kUdpHeaderBytes), sum);
  udp_checksum_ = checksum_finish_nonzero(sum);
  if (!layout_.ipv6) return;

  uint8_t* const fragment = &headers_[layout_.fragmentable];
  fragment[0] = headers_[layout_.fragmentable_next];
  fragment[1] = 0;
  store_be16(fragment + 2, 0);
  store_be32(fragment + 4, mix_identification(sum, fragment_seed));
  headers_[layout_.fragmentable_next] = IPPROTO_FRAGMENT;
}

size_t SegmentPlan::payload_bytes(size_t index) const noexcept {
  return std::min(step_, frame_.size() - payload_at_ - index * step_);
}

void SegmentPlan::write(size_t index, uint8_t* out) const noexcept {
  const size_t payload = payload_bytes(index);
  std::memcpy(out, headers_.data(), header_bytes_);
  std::memcpy(out + header_bytes_, frame_.data() + payload_at_ + index * step_, payload);
  if (kind_ == Kind::kFragments) {
    write_fragment(index, out, payload);
  } else {
    write_transport(index, out, payload);
  }
  write_network(index, out, payload);
}

void SegmentPlan::write_network(size_t index, uint8_t* frame, size_t payload) const noexcept {
  uint8_t* const ip = frame + layout_.network;
  const size_t bytes = header_bytes_ - layout_.network + payload;
  if (layout_.ipv6) {
    store_be16(ip + kIp6PayloadLength, static_cast<uint16_t>(bytes - kIp6HeaderBytes));
    return;
  }
  store_be16(ip + kIp4TotalLength, static_cast<uint16_t>(bytes));
  if (kind_ != Kind::kFragments) {
    store_be16(ip + kIp4Identification, static_cast<uint16_t>(load_be16(ip + kIp4Identification) + index));
  }
  store_be16(ip + kIp4Checksum, 0);
  const size_t ip_bytes = layout_.transport - layout_.network;
  store_checksum(ip + kIp4Checksum, checksum_finish(checksum_add({ip, ip_bytes})));
}

void SegmentPlan::write_transport(size_t index, uint8_t* frame, size_t payload) const noexcept {
  uint8_t* const transport = frame + layout_.transport;
  const size_t bytes = header_bytes_ - layout_.transport + payload;
  const bool tcp = kind_ == Kind::kTcp;
  if (tcp) {
    const uint32_t sequence = load_be32(transport + kTcpSequence);
    store_be32(transport + kTcpSequence, sequence + static_cast<uint32_t>(index * step_));
    if (index != 0) transport[kTcpFlags] &= static_cast<uint8_t>(~kCwr);
    if (index + 1 != frames_) transport[kTcpFlags] &= static_cast<uint8_t>(~(kFin | kPsh));
  } else {
    store_be16(transport + kUdpLength, static_cast<uint16_t>(bytes));
  }
  if (!transport_checksum_) return;
  uint8_t* const field = transport + (tcp ? kTcpChecksum : kUdpChecksum);
  store_be16(field, 0);
  const uint64_t sum = checksum_add({transport, bytes}, checksum_add_number(static_cast<uint16_t>(bytes), pseudo_sum_));
  store_checksum(field, tcp ? checksum_finish(sum) : checksum_finish_nonzero(sum));
}

void SegmentPlan::write_fragment(size_t index, uint8_t* frame, size_t payload) const noexcept {
  const size_t offset = index * step_;
  const bool last = index + 1 == frames_;
  if (layout_.ipv6) {
    store_be16(frame + layout_.fragmentable + 2, static_cast<uint16_t>(offset | (last ? 0 : 1)));
  } else {
    const uint16_t more = last ? 0 : kIp4MoreFragments;
    store_be16(frame + layout_.network + kIp4Fragment, static_cast<uint16_t>(offset / 8 | more));
  }
  if (!transport_checksum_) return;
  const size_t field = layout_.transport - payload_at_ + kUdpChecksum;  // in the first fragment, see choose_step
  if (field >= offset && field < offset + payload)
    store_checksum(frame + header_bytes_ + field - offset, udp_checksum_);
}

const char* refusal_name(Refusal refusal) noexcept {
  static constexpr const char* kNames[] = {"none",
                                           "bad-header-length",
                                           "truncated-vnet-header",
                                           "frame-too-short",
                                           "frame-too-long",
                                           "checksum-range",
                                           "unknown-gso",
                                           "gso-mismatch",
                                           "segment-too-small",
                                           "truncated-headers",
                                           "headers-too-long",
                                           "bad-ip-header",
                                           "bad-transport",
                                           "already-fragment",
                                           "unsupported-header"};
  static_assert(std::size(kNames) == kRefusals);
  const auto index = static_cast<size_t>(refusal);
  return index < kRefusals ? kNames[index] : "unknown";
}

}  // namespace unetmap::vale
