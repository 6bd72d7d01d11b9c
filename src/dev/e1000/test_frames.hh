// SPDX-License-Identifier: BSD-2-Clause
// Frames with checksums for the tests, computed byte by byte from RFC 1071 and the headers' definitions; and what is
// still to be done to a frame that came out of a device, done here.
#pragma once

#include <algorithm>

#include "dev/e1000/test_driver.hh"
#include "vale/offload.hh"

namespace unetmap::e1000 {

inline uint32_t sum_bytes(const Bytes& bytes, size_t from, size_t to, uint32_t sum = 0) {
  for (size_t i = from; i < to; i++) sum += (i - from) % 2 ? bytes[i] : bytes[i] << 8;
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}
inline void put16(Bytes& bytes, size_t at, uint32_t value) {
  bytes[at] = uint8_t(value >> 8);
  bytes[at + 1] = uint8_t(value);
}
inline void put32(Bytes& bytes, size_t at, uint32_t value) {
  put16(bytes, at, value >> 16);
  put16(bytes, at + 2, value & 0xffff);
}
// The frame with the checksum of [from, to) written to `at`; never as 0.
inline Bytes with_checksum(Bytes bytes, size_t from, size_t to, size_t at) {
  const uint32_t sum = ~sum_bytes(bytes, from, std::min(to, bytes.size())) & 0xffff;
  put16(bytes, at, sum == 0 ? 0xffff : sum);
  return bytes;
}

struct IpFrame {
  Bytes unfinished;  // checksums not made: the transport's field has the pseudo header's sum
  Bytes whole;
};

// Both checksums made anew: IPv4 or IPv6 without options, TCP or UDP, no tag.
inline Bytes refinished(Bytes bytes) {
  const bool v6 = bytes[12] == 0x86;
  const size_t transport = v6 ? 54 : 34, protocol = bytes[v6 ? 20 : 23], field = transport + (protocol == 6 ? 16 : 6);
  if (!v6) {
    put16(bytes, 24, 0);
    bytes = with_checksum(bytes, 14, 34, 24);
  }
  const uint32_t pseudo = sum_bytes(bytes, v6 ? 22 : 26, transport, uint32_t(protocol + bytes.size() - transport));
  put16(bytes, field, pseudo);
  return with_checksum(bytes, transport, bytes.size(), field);
}

inline Bytes ip_frame(bool v6, uint8_t protocol, size_t payload, uint32_t number = 0) {
  const size_t ip = 14, transport = v6 ? 54 : 34, header = transport + (protocol == 6 ? 20 : 8);
  Bytes bytes = plain_frame(header + payload);
  put16(bytes, 12, v6 ? 0x86dd : 0x0800);
  if (v6) {
    put32(bytes, ip, 6u << 28);
    put16(bytes, ip + 4, uint32_t(bytes.size() - 54));
    bytes[ip + 6] = protocol;
    bytes[ip + 7] = 64;
  } else {
    put32(bytes, ip, 0x45000000u + uint32_t((bytes.size() - 14) & 0xffff));
    put32(bytes, ip + 4, (0x1000 + number) << 16 | 0x4000);
    put16(bytes, ip + 8, 64 << 8 | protocol);
  }
  put16(bytes, transport, 1234);
  put16(bytes, transport + 2, 4321);
  if (protocol == 6) {
    put32(bytes, transport + 4, 1000 + number);
    put32(bytes, transport + 8, 77);
    put16(bytes, transport + 12, 0x5010);
    put16(bytes, transport + 14, 0xffff);
    put16(bytes, transport + 18, 0);
  } else {
    put16(bytes, transport + 4, uint32_t(8 + payload));
  }
  return bytes;
}

// As a driver hands it to a card that is to make both checksums: the field has the pseudo header's sum.
inline IpFrame ip_pair(Bytes bytes) {
  IpFrame out;
  out.whole = refinished(bytes);
  const bool v6 = bytes[12] == 0x86;
  const size_t transport = v6 ? 54 : 34, protocol = bytes[v6 ? 20 : 23];
  put16(bytes, transport + (protocol == 6 ? 16 : 6),
        sum_bytes(bytes, v6 ? 22 : 26, transport, uint32_t(protocol + bytes.size() - transport)));
  if (!v6) put16(bytes, 24, 0);
  out.unfinished = bytes;
  return out;
}
inline IpFrame tcp4_frame(size_t payload) { return ip_pair(ip_frame(false, 6, payload)); }
inline IpFrame udp4_frame(size_t payload, size_t number = 0) {
  IpFrame out = ip_pair(ip_frame(false, 17, payload, uint32_t(number)));
  // For segmentation the length is not part of the sum yet.
  put16(out.unfinished, 40, sum_bytes(out.unfinished, 26, 34, 17));
  return out;
}

// A large TCP segment as Linux hands it over: no lengths, the pseudo header's sum without one.
struct TsoFrame {
  Bytes bytes;
  TestDriver::ContextFields context;
  std::vector<Bytes> segments;
};
inline TsoFrame tso_frame(bool v6, size_t payload, uint16_t mss = 1448) {
  const size_t transport = v6 ? 54 : 34, header = transport + 20;
  TsoFrame out;
  out.bytes = ip_frame(v6, 6, payload);
  out.bytes[transport + 13] = 0x19;  // ACK, PSH, FIN
  put16(out.bytes, v6 ? 18 : 16, 0);
  if (!v6) put16(out.bytes, 24, 0);
  put16(out.bytes, transport + 16, sum_bytes(out.bytes, v6 ? 22 : 26, transport, 6));
  out.context = {.ipcss = 14,
                 .ipcso = uint8_t(v6 ? 20 : 24),
                 .ipcse = uint16_t(v6 ? 0 : 33),
                 .tucss = uint8_t(transport),
                 .tucso = uint8_t(transport + 16),
                 .paylen = uint32_t(payload),
                 .command = uint8_t(v6 ? 5 : 7),
                 .header = uint8_t(header),
                 .mss = mss};
  for (size_t at = 0, i = 0; at < payload; at += mss, i++) {
    const size_t part = std::min<size_t>(mss, payload - at);
    Bytes segment = ip_frame(v6, 6, part);
    std::copy_n(out.bytes.begin() + header + at, part, segment.begin() + header);
    if (!v6) put16(segment, 18, uint32_t(0x1000 + i));
    put32(segment, transport + 4, uint32_t(1000 + at));
    segment[transport + 13] = at + part == payload ? 0x19 : 0x10;
    out.segments.push_back(refinished(segment));
  }
  return out;
}

// Frames as they would stand on a wire, by the switch's own segmentation, which has tests of its own against a kernel.
inline std::vector<Bytes> segmented(const SentFrame& frame) {
  Bytes in(10);
  memcpy(in.data(), &frame.hdr, 10);
  in.insert(in.end(), frame.bytes.begin(), frame.bytes.end());
  vale::Segmenter segmenter;
  if (segmenter.start(in, 10, {.hdr_len = 0, .takes_offloads = false}) != vale::Refusal::kNone) return {};
  std::vector<Bytes> out;
  Bytes piece(65536 + 100);
  while (const size_t bytes = segmenter.next(piece)) out.emplace_back(piece.begin(), piece.begin() + bytes);
  return out;
}
inline Bytes finished(const SentFrame& frame) {
  const auto frames = segmented(frame);
  return frames.size() == 1 ? frames[0] : Bytes{};
}

}  // namespace unetmap::e1000
