// SPDX-License-Identifier: BSD-2-Clause
// Frames for the offload tests, built field by field, and checksums computed the slow and obvious way: nothing here
// shares code with what it tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

namespace unetmap::vale::testing {

using Bytes = std::vector<uint8_t>;

inline void put16(Bytes& out, unsigned value) {
  out.push_back(static_cast<uint8_t>(value >> 8));
  out.push_back(static_cast<uint8_t>(value));
}
inline void put32(Bytes& out, uint32_t value) {
  put16(out, value >> 16);
  put16(out, value & 0xffff);
}
inline void put16le(Bytes& out, unsigned value) {
  out.push_back(static_cast<uint8_t>(value));
  out.push_back(static_cast<uint8_t>(value >> 8));
}
inline void append(Bytes& out, std::span<const uint8_t> bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); }
inline unsigned get16(std::span<const uint8_t> bytes, size_t at) { return bytes[at] * 256u + bytes[at + 1]; }
inline uint32_t get32(std::span<const uint8_t> bytes, size_t at) {
  return get16(bytes, at) * 65536u + get16(bytes, at + 2);
}
inline void set16(std::span<uint8_t> bytes, size_t at, unsigned value) {
  bytes[at] = static_cast<uint8_t>(value >> 8);
  bytes[at + 1] = static_cast<uint8_t>(value);
}

// The folded one's complement sum of big-endian words, not complemented.
inline unsigned plain_sum(std::span<const uint8_t> bytes, unsigned sum = 0) {
  for (size_t i = 0; i < bytes.size(); ++i) {
    sum += i % 2 == 0 ? bytes[i] * 256u : bytes[i];
    sum = sum % 65536 + sum / 65536;
  }
  return sum;
}

// What a test frame is made of. Defaults: TCP over IPv4, no tags, no options.
struct FrameSpec {
  bool ipv6 = false;
  bool udp = false;
  std::vector<unsigned> tags = {};     // ethertypes of the VLAN tags
  Bytes ip_options = {};               // IPv4; a multiple of 4 bytes
  std::vector<Bytes> extensions = {};  // IPv6: {type, rest of an extension header without its next-header byte}
  Bytes tcp_options = {};              // a multiple of 4 bytes
  uint8_t tcp_flags = 0x18;            // ACK, PSH
  unsigned identification = 0xfffd;
  size_t payload = 4000;
  unsigned seed = 1;
  uint8_t gso_type = 1;
  unsigned gso_size = 1448;
  bool needs_csum = true;

  size_t network() const { return 14 + 4 * tags.size(); }
  size_t extension_bytes() const {
    size_t bytes = 0;
    for (const Bytes& extension : extensions) bytes += extension.size();
    return bytes;
  }
  size_t transport() const { return network() + (ipv6 ? 40 + extension_bytes() : 20 + ip_options.size()); }
  size_t transport_bytes() const { return udp ? 8 : 20 + tcp_options.size(); }
  size_t headers() const { return transport() + transport_bytes(); }
  size_t checksum_at() const { return transport() + (udp ? 6 : 16); }
  unsigned protocol() const { return udp ? 17 : 6; }
};

inline constexpr uint8_t kTestSourceMac[6] = {2, 0, 0, 0, 0, 0xa1};
inline constexpr uint8_t kTestDestinationMac[6] = {2, 0, 0, 0, 0, 0xb2};

// The pseudo header's sum; addresses as they stand in the fixed IP header.
inline unsigned pseudo_sum(std::span<const uint8_t> frame, const FrameSpec& spec, size_t transport_bytes) {
  const size_t addresses = spec.network() + (spec.ipv6 ? 8 : 12);
  Bytes pseudo(frame.begin() + addresses, frame.begin() + addresses + (spec.ipv6 ? 32 : 8));
  put32(pseudo, static_cast<uint32_t>(transport_bytes));
  put32(pseudo, spec.protocol());
  return plain_sum(pseudo);
}

// An Ethernet frame of that description, with the pseudo header's sum in the checksum field if needs_csum, else with a
// whole checksum.
inline Bytes build_frame(const FrameSpec& spec) {
  Bytes out;
  out.reserve(spec.headers() + spec.payload);
  append(out, kTestDestinationMac);
  append(out, kTestSourceMac);
  for (size_t i = 0; i < spec.tags.size(); ++i) {
    put16(out, spec.tags[i]);
    put16(out, static_cast<unsigned>(0x2000 + 100 + i));
  }
  put16(out, spec.ipv6 ? 0x86dd : 0x0800);
  const size_t transport_size = spec.transport_bytes() + spec.payload;
  if (spec.ipv6) {
    put32(out, 0x60012345);
    put16(out, static_cast<unsigned>(spec.extension_bytes() + transport_size) & 0xffff);
    out.push_back(spec.extensions.empty() ? static_cast<uint8_t>(spec.protocol()) : spec.extensions[0][0]);
    out.push_back(64);
    for (uint8_t last : {1, 2}) {
      append(out, Bytes{0xfd, 0, 0x12, 0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last});
    }
    for (size_t i = 0; i < spec.extensions.size(); ++i) {
      const bool more = i + 1 < spec.extensions.size();
      out.push_back(more ? spec.extensions[i + 1][0] : static_cast<uint8_t>(spec.protocol()));
      append(out, std::span(spec.extensions[i]).subspan(1));
    }
  } else {
    out.push_back(static_cast<uint8_t>(0x40 + 5 + spec.ip_options.size() / 4));
    out.push_back(0);
    put16(out, static_cast<unsigned>(20 + spec.ip_options.size() + transport_size) & 0xffff);
    put16(out, spec.identification);
    put16(out, 0);
    out.push_back(64);
    out.push_back(static_cast<uint8_t>(spec.protocol()));
    put16(out, 0);
    append(out, Bytes{10, 1, 2, 3, 10, 1, 2, 4});
    append(out, spec.ip_options);
    const size_t ip = spec.network();
    set16(out, ip + 10, 0xffff - plain_sum(std::span(out).subspan(ip)));
  }
  put16(out, 40000);
  put16(out, 9);
  if (spec.udp) {
    put16(out, static_cast<unsigned>(transport_size) & 0xffff);
    put16(out, 0);
  } else {
    put32(out, 0xfffffc00);  // wraps within a few segments
    put32(out, 0x01020304);
    out.push_back(static_cast<uint8_t>((5 + spec.tcp_options.size() / 4) * 16));
    out.push_back(spec.tcp_flags);
    put16(out, 501);
    put32(out, 0);
    append(out, spec.tcp_options);
  }
  std::minstd_rand random(spec.seed);
  for (size_t i = 0; i < spec.payload; ++i) out.push_back(static_cast<uint8_t>(random() >> 8));
  unsigned field = pseudo_sum(out, spec, transport_size);
  if (!spec.needs_csum) field = 0xffff - plain_sum(std::span(out).subspan(spec.transport()), field);
  set16(out, spec.checksum_at(), field);
  return out;
}

// The virtio-net header (10 or 12 bytes) that goes with the frame.
inline Bytes build_header(const FrameSpec& spec, size_t hdr_len = 10) {
  Bytes out;
  out.push_back(spec.needs_csum ? 1 : 0);
  out.push_back(spec.gso_type);
  put16le(out, static_cast<unsigned>(spec.headers()));
  put16le(out, spec.gso_size);
  put16le(out, spec.needs_csum ? static_cast<unsigned>(spec.transport()) : 0);
  put16le(out, spec.needs_csum ? static_cast<unsigned>(spec.checksum_at() - spec.transport()) : 0);
  if (hdr_len == 12) put16le(out, 0);
  return out;
}

inline Bytes build_packet(const FrameSpec& spec, size_t hdr_len = 10) {
  Bytes out = build_header(spec, hdr_len);
  append(out, build_frame(spec));
  return out;
}

}  // namespace unetmap::vale::testing
