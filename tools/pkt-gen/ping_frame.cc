// SPDX-License-Identifier: BSD-2-Clause
#include "ping_frame.hh"

#include <netinet/in.h>

#include <cstring>

#include "frame.hh"

namespace unetmap::pktgen {
namespace {

constexpr uint32_t kIpAt = 14;

enum class Kind { other, v4, v6 };

Kind kind_of(const uint8_t* frame, uint32_t bytes) {
  if (bytes < kIpAt) return Kind::other;
  if (frame[12] == 0x08 && frame[13] == 0x00 && bytes >= kIpAt + 20) return Kind::v4;
  if (frame[12] == 0x86 && frame[13] == 0xdd && bytes >= kIpAt + 40) return Kind::v6;
  return Kind::other;
}

void exchange(uint8_t* to, const uint8_t* from, uint32_t first, uint32_t second, uint32_t bytes) {
  memcpy(to + first, from + second, bytes);
  memcpy(to + second, from + first, bytes);
}

}  // namespace

std::optional<PingStamp> read_stamp(const uint8_t* data, uint32_t bytes, uint32_t vnet_header) {
  if (bytes < vnet_header) return std::nullopt;
  const uint8_t* frame = data + vnet_header;
  bytes -= vnet_header;
  Kind kind = kind_of(frame, bytes);
  if (kind == Kind::other) return std::nullopt;
  uint32_t at = Frame::payload_offset(kind == Kind::v4 ? Family::v4 : Family::v6);
  uint8_t protocol = kind == Kind::v4 ? frame[kIpAt + 9] : frame[kIpAt + 6];
  if (protocol != IPPROTO_UDP || bytes < at + kStampBytes) return std::nullopt;
  uint32_t number, time[2];
  memcpy(&number, frame + at, sizeof number);
  memcpy(time, frame + at + 4, sizeof time);
  return PingStamp{ntohl(number), uint64_t{time[0]} * 1'000'000'000 + time[1]};
}

void write_answer(uint8_t* to, const uint8_t* request, uint32_t bytes, uint32_t vnet_header) {
  memcpy(to, request, bytes);
  if (bytes < vnet_header + kIpAt) return;
  to += vnet_header;
  request += vnet_header;
  Kind kind = kind_of(request, bytes - vnet_header);
  exchange(to, request, 0, 6, 6);
  if (kind == Kind::v4) exchange(to, request, kIpAt + 12, kIpAt + 16, 4);
  if (kind == Kind::v6) exchange(to, request, kIpAt + 8, kIpAt + 24, 16);
}

}  // namespace unetmap::pktgen
