// SPDX-License-Identifier: BSD-2-Clause
// Finding the headers of a frame; every step is checked against the bytes that are there.
#include <netinet/in.h>

#include "vale/segment.hh"
#include "vale/wire_bytes.hh"

namespace unetmap::vale {
namespace {

constexpr size_t kEtherTypeAt = 12;
constexpr uint16_t kEtherIp4 = 0x0800, kEtherIp6 = 0x86dd, kEtherVlan = 0x8100, kEtherServiceVlan = 0x88a8;
constexpr size_t kIp4MinHeaderBytes = 20, kIp6HeaderBytes = 40;
constexpr uint8_t kOptionEnd = 0, kOptionPad = 1, kOptionLooseRoute = 131, kOptionStrictRoute = 137;
constexpr uint8_t kRoutingSource = 0, kRoutingHome = 2, kRoutingSegments = 4;

bool is_vlan(uint16_t ether_type) noexcept { return ether_type == kEtherVlan || ether_type == kEtherServiceVlan; }

// Source routes put an address other than the header's destination under the transport checksum.
Refusal check_ip4_options(std::span<const uint8_t> options) noexcept {
  size_t at = 0;
  while (at < options.size() && options[at] != kOptionEnd) {
    if (options[at] == kOptionLooseRoute || options[at] == kOptionStrictRoute) return Refusal::kUnsupportedHeader;
    if (options[at] == kOptionPad) {
      ++at;
      continue;
    }
    if (at + 1 >= options.size() || options[at + 1] < 2) return Refusal::kBadIpHeader;
    at += options[at + 1];
  }
  return Refusal::kNone;
}

Refusal parse_ip4(std::span<const uint8_t> bytes, HeaderLayout& layout) noexcept {
  if (bytes.size() - layout.network < kIp4MinHeaderBytes) return Refusal::kTruncatedHeaders;
  const uint8_t* const ip = &bytes[layout.network];
  const size_t ip_bytes = size_t{ip[0]} % 16 * 4;
  if (ip[0] >> 4 != 4 || ip_bytes < kIp4MinHeaderBytes) return Refusal::kBadIpHeader;
  if (bytes.size() - layout.network < ip_bytes) return Refusal::kTruncatedHeaders;
  if ((load_be16(ip + 6) & 0x3fff) != 0) return Refusal::kFragment;
  layout.transport = layout.network + ip_bytes;
  layout.final_destination = layout.network + 16;
  layout.protocol = ip[9];
  return check_ip4_options(bytes.subspan(layout.network + kIp4MinHeaderBytes, ip_bytes - kIp4MinHeaderBytes));
}

// A routing header that has hops left names the final destination, which is the one under the checksum.
Refusal parse_routing(std::span<const uint8_t> bytes, size_t at, size_t header_bytes, HeaderLayout& layout) noexcept {
  const uint8_t type = bytes[at + 2];
  const uint8_t segments_left = bytes[at + 3];
  if (segments_left == 0) return Refusal::kNone;
  if (header_bytes < 8 + 16) return Refusal::kBadIpHeader;
  switch (type) {
    case kRoutingSource:
    case kRoutingHome:
      layout.final_destination = at + header_bytes - 16;
      return Refusal::kNone;
    case kRoutingSegments:  // lists the path backwards
      layout.final_destination = at + 8;
      return Refusal::kNone;
    default:
      return Refusal::kUnsupportedHeader;
  }
}

Refusal parse_ip6(std::span<const uint8_t> bytes, HeaderLayout& layout) noexcept {
  if (bytes.size() - layout.network < kIp6HeaderBytes) return Refusal::kTruncatedHeaders;
  if (bytes[layout.network] >> 4 != 6) return Refusal::kBadIpHeader;
  layout.final_destination = layout.network + 24;
  size_t next_at = layout.network + 6;  // where the type of the header at `at` stands
  size_t at = layout.network + kIp6HeaderBytes;
  layout.fragmentable = at;
  layout.fragmentable_next = next_at;
  for (;;) {
    const uint8_t type = bytes[next_at];
    switch (type) {
      case IPPROTO_HOPOPTS:
        if (next_at != layout.network + 6) return Refusal::kBadIpHeader;  // only ever the first
        break;
      case IPPROTO_ROUTING:
      case IPPROTO_DSTOPTS:
        break;
      case IPPROTO_FRAGMENT:
        return Refusal::kFragment;
      case IPPROTO_TCP:
      case IPPROTO_UDP:
        layout.transport = at;
        layout.protocol = type;
        return Refusal::kNone;
      default:
        return Refusal::kUnsupportedHeader;
    }
    if (bytes.size() - at < 8) return Refusal::kTruncatedHeaders;
    const size_t header_bytes = 8 + size_t{bytes[at + 1]} * 8;
    if (bytes.size() - at < header_bytes) return Refusal::kTruncatedHeaders;
    if (type == IPPROTO_ROUTING) {
      const Refusal refusal = parse_routing(bytes, at, header_bytes, layout);
      if (refusal != Refusal::kNone) return refusal;
    }
    next_at = at;
    at += header_bytes;
    // Routers on the way read hop-by-hop and routing headers, so each fragment has them (RFC 8200, section 4.5).
    if (type == IPPROTO_HOPOPTS || type == IPPROTO_ROUTING) {
      layout.fragmentable = at;
      layout.fragmentable_next = next_at;
    }
  }
}

}  // namespace

size_t count_vlan_tags(std::span<const uint8_t> frame) noexcept {
  size_t tags = 0;
  for (size_t at = kEtherTypeAt; tags < kMaxVlanTags && at + 2 <= frame.size(); at += kVlanTagBytes, ++tags) {
    if (!is_vlan(load_be16(&frame[at]))) break;
  }
  return tags;
}

Refusal parse_headers(std::span<const uint8_t> bytes, HeaderLayout& layout) noexcept {
  layout = HeaderLayout{};
  layout.vlan_tags = count_vlan_tags(bytes);
  layout.network = kEthernetHeaderBytes + kVlanTagBytes * layout.vlan_tags;
  if (bytes.size() < layout.network) return Refusal::kTruncatedHeaders;
  switch (load_be16(&bytes[layout.network - 2])) {
    case kEtherIp4:
      return parse_ip4(bytes, layout);
    case kEtherIp6:
      layout.ipv6 = true;
      return parse_ip6(bytes, layout);
    case kEtherVlan:
    case kEtherServiceVlan:
      return Refusal::kHeadersTooLong;
    default:
      return Refusal::kGsoMismatch;
  }
}

}  // namespace unetmap::vale
