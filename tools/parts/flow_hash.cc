// SPDX-License-Identifier: BSD-2-Clause
#include "flow_hash.hh"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>

namespace unetmap::parts {
namespace {

constexpr int kMaxTags = 4, kMaxExtensions = 8;
constexpr int kMaxTunnels = 3;  // one within another

// A view that never reads past what there is.
class Bytes {
 public:
  explicit Bytes(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  bool has(size_t count) const { return bytes_.size() >= count; }
  uint8_t byte(size_t at) const { return bytes_[at]; }
  uint32_t word(size_t at) const { return uint32_t(bytes_[at]) << 8 | bytes_[at + 1]; }
  const uint8_t* at(size_t offset) const { return bytes_.data() + offset; }
  void skip(size_t count) { bytes_ = bytes_.subspan(std::min(count, bytes_.size())); }

 private:
  std::span<const uint8_t> bytes_;
};

uint64_t mix(uint64_t value) {
  value ^= value >> 33;
  value *= 0xff51afd7ed558ccdull;
  value ^= value >> 33;
  value *= 0xc4ceb9fe1a85ec53ull;
  return value ^ (value >> 33);
}

// The smaller one first: the order in which the two ends are given does not matter.
uint64_t of_pair(uint64_t one, uint64_t other) { return mix(mix(std::min(one, other)) + std::max(one, other)); }

bool has_ports(uint8_t protocol) {
  return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP ||
         protocol == IPPROTO_UDPLITE || protocol == IPPROTO_DCCP;
}

uint64_t mixed(const uint8_t* address, size_t bytes) {
  uint64_t out = 0;
  for (size_t i = 0; i < bytes; i += 4) {
    uint32_t part;
    memcpy(&part, address + i, sizeof part);
    out = mix(out + part);
  }
  return out;
}

// Ends are address and port together, so that flows which differ in one of them only are told apart.
uint32_t hash(const uint8_t* source, const uint8_t* destination, size_t bytes, uint8_t protocol,
              const Bytes* transport) {
  uint64_t from = mixed(source, bytes), to = mixed(destination, bytes);
  if (transport && has_ports(protocol) && transport->has(4)) {
    from += transport->word(0);
    to += transport->word(2);
  }
  return uint32_t(of_pair(from, to) + protocol * 0x9e3779b9u);
}

std::optional<uint32_t> of_type(uint32_t type, Bytes rest, int tunnels);
std::optional<uint32_t> of_frame(Bytes frame, int tunnels);

// What a GRE packet carries (RFC 2784, RFC 2890); none if that is nothing we look into, or does not begin in it.
std::optional<uint32_t> of_gre(Bytes gre, int tunnels) {
  constexpr uint32_t kChecksum = 0x8000, kRouting = 0x4000, kKey = 0x2000, kSequence = 0x1000, kVersion = 7;
  constexpr uint32_t kEthernet = 0x6558;
  if (tunnels >= kMaxTunnels || !gre.has(4)) return std::nullopt;
  const uint32_t flags = gre.word(0), type = gre.word(2);
  if (flags & (kRouting | kVersion)) return std::nullopt;
  gre.skip(4 + 4 * (size_t(!!(flags & kChecksum)) + !!(flags & kKey) + !!(flags & kSequence)));
  return type == kEthernet ? of_frame(gre, tunnels + 1) : of_type(type, gre, tunnels + 1);
}

std::optional<uint32_t> of_ip4(Bytes ip, int tunnels) {
  if (!ip.has(20) || ip.byte(0) >> 4 != 4) return std::nullopt;
  const size_t header = size_t(ip.byte(0) & 15) * 4;
  // Only the first fragment has ports: none of them counts those.
  const bool fragment = ip.word(6) & 0x3fff, whole = !fragment && header >= 20;
  Bytes transport = ip;
  transport.skip(header);
  if (whole && ip.byte(9) == IPPROTO_GRE)
    if (auto inner = of_gre(transport, tunnels)) return inner;
  return hash(ip.at(12), ip.at(16), 4, ip.byte(9), whole ? &transport : nullptr);
}

std::optional<uint32_t> of_ip6(Bytes ip, int tunnels) {
  if (!ip.has(40) || ip.byte(0) >> 4 != 6) return std::nullopt;
  uint8_t next = ip.byte(6);
  Bytes rest = ip;
  rest.skip(40);
  for (int i = 0; i < kMaxExtensions && rest.has(8); i++) {
    if (next == IPPROTO_FRAGMENT) return hash(ip.at(8), ip.at(24), 16, rest.byte(0), nullptr);
    if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS) break;
    next = rest.byte(0);
    rest.skip((size_t(rest.byte(1)) + 1) * 8);
  }
  if (next == IPPROTO_GRE)
    if (auto inner = of_gre(rest, tunnels)) return inner;
  return hash(ip.at(8), ip.at(24), 16, next, &rest);
}

std::optional<uint32_t> of_type(uint32_t type, Bytes rest, int tunnels) {
  for (int tags = 0; tags < kMaxTags && (type == 0x8100 || type == 0x88a8 || type == 0x9100) && rest.has(4); tags++) {
    type = rest.word(2);
    rest.skip(4);
  }
  if (type == 0x0800) return of_ip4(rest, tunnels);
  if (type == 0x86dd) return of_ip6(rest, tunnels);
  return std::nullopt;
}

std::optional<uint32_t> of_frame(Bytes frame, int tunnels) {
  if (!frame.has(14)) return std::nullopt;
  const uint32_t type = frame.word(12);
  frame.skip(14);
  return of_type(type, frame, tunnels);
}

}  // namespace

std::optional<uint32_t> flow_hash(std::span<const uint8_t> frame) { return of_frame(Bytes(frame), 0); }

}  // namespace unetmap::parts
