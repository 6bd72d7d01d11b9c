// SPDX-License-Identifier: BSD-2-Clause
#include "dev/e1000/tx/offload.hh"

#include "vale/checksum.hh"
#include "vale/segment.hh"
#include "vale/wire_bytes.hh"

namespace unetmap::e1000 {
namespace {

using vale::load_be16;
using vale::load_be32;
using vale::store_be16;
using vale::store_be32;

constexpr unsigned kEthernetBytes = 14, kIpv4Bytes = 20, kIpv6Bytes = 40, kTcpBytes = 20;
constexpr uint8_t kTcp = 6;
constexpr uint16_t kTypeIpv4 = 0x0800, kTypeIpv6 = 0x86dd, kTypeVlan = 0x8100, kTypeService = 0x88a8;
constexpr unsigned kTcpChecksumAt = 16, kFinPsh = 0x09, kCwr = 0x80;

// The field holds the pseudo header's sum without the length.
void add_length(uint8_t* field, uint32_t length) noexcept {
  uint32_t sum = uint32_t{load_be16(field)} + (length & 0xffff) + (length >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  store_be16(field, static_cast<uint16_t>((sum & 0xffff) + (sum >> 16)));
}

// The IP header is where the frame's own types say, and the transport header behind it.
bool headers_agree(std::span<const uint8_t> head, const TxContext& context) noexcept {
  const unsigned ip = context.ipcss(), transport = context.tucss();
  unsigned type_at = 12;
  while (type_at + 2 < ip) {
    const uint16_t type = load_be16(&head[type_at]);
    if (type != kTypeVlan && type != kTypeService) return false;
    type_at += kVlanBytes;
  }
  if (type_at + 2 != ip || load_be16(&head[type_at]) != (context.ipv4() ? kTypeIpv4 : kTypeIpv6)) return false;
  if (!context.ipv4()) return head[ip] >> 4 == 6 && transport == ip + kIpv6Bytes && head[ip + 6] == kTcp;
  const unsigned bytes = (head[ip] & 15u) * 4;
  const bool fragment = (load_be16(&head[ip + 6]) & 0x3fff) != 0;
  return head[ip] >> 4 == 4 && bytes >= kIpv4Bytes && transport == ip + bytes && head[ip + 9] == kTcp && !fragment;
}

bool is_plain_tcp(std::span<const uint8_t> head, uint32_t bytes, const TxContext& context,
                  const TxRequest& request) noexcept {
  const size_t header = head.size();
  const unsigned ip = context.ipcss(), transport = context.tucss();
  if (!context.tcp() || !request.checksum || context.tucse() != 0 || context.mss() < vale::kMinSegmentBytes)
    return false;
  if (ip < kEthernetBytes || transport < ip + kIpv4Bytes || header < transport + kTcpBytes || bytes <= header)
    return false;
  if (context.tucso() != transport + kTcpChecksumAt) return false;
  if (context.ipv4() ? !request.ip_checksum || context.ipcso() != ip + 10 || context.ipcse() + 1 != transport
                     : transport < ip + kIpv6Bytes)
    return false;
  // Whoever cuts it later would leave CWR in the first segment only; this card repeats it.
  if (head[transport + 13] & kCwr) return false;
  if (!headers_agree(head, context) || transport + (head[transport + 12] >> 4) * 4u != header) return false;
  return bytes - ip - (context.ipv4() ? 0 : kIpv6Bytes) <= 0xffff;
}

void set_ip_length(std::span<uint8_t> head, uint32_t bytes, const TxContext& context) noexcept {
  const unsigned ip = context.ipcss();
  if (context.ipv4())
    store_be16(&head[ip + 2], static_cast<uint16_t>(bytes - ip));
  else
    store_be16(&head[ip + 4], static_cast<uint16_t>(bytes - ip - kIpv6Bytes));
}

void ask_checksum(vale::VnetHdr& hdr, unsigned start, unsigned at) noexcept {
  hdr.flags = vale::kVnetNeedsCsum;
  hdr.csum_start = static_cast<uint16_t>(start);
  hdr.csum_offset = static_cast<uint16_t>(at - start);
}

}  // namespace

bool describe_segment(std::span<uint8_t> head, uint32_t bytes, const TxContext& context, const TxRequest& request,
                      vale::VnetHdr& hdr) noexcept {
  if (!is_plain_tcp(head, bytes, context, request)) return false;
  const unsigned transport = context.tucss();
  set_ip_length(head, bytes, context);
  if (context.ipv4()) insert_checksum(head, context.ipcss(), transport, context.ipcso());
  add_length(&head[context.tucso()], bytes - transport);
  hdr = {};
  ask_checksum(hdr, transport, context.tucso());
  if (bytes - head.size() > context.mss()) {
    hdr.gso_type = context.ipv4() ? vale::kGsoTcp4 : vale::kGsoTcp6;
    hdr.gso_size = static_cast<uint16_t>(context.mss());
    hdr.hdr_len = static_cast<uint16_t>(head.size());
  }
  return true;
}

bool describe_checksum(uint32_t bytes, const TxContext& context, const TxRequest& request,
                       vale::VnetHdr& hdr) noexcept {
  unsigned start, at;
  if (request.checksum) {
    start = context.tucss();
    at = context.tucso();
    if (context.tucse() != 0 && context.tucse() + 1 < bytes) return at + 2 > bytes;
  } else if (request.insert) {
    start = request.insert_from;
    at = request.insert_at;
  } else {
    return true;
  }
  if (at + 2 > bytes || start >= bytes) return true;
  if (start < kEthernetBytes || at < start) return false;
  ask_checksum(hdr, start, at);
  return true;
}

bool ip_checksum_range(uint32_t bytes, const TxContext& context, unsigned& needed) noexcept {
  needed = 0;
  uint32_t end = bytes;
  if (context.ipcse() != 0 && context.ipcse() < bytes) end = context.ipcse() + 1;
  if (context.ipcso() + 2 > bytes || context.ipcss() >= end) return true;
  end = end > context.ipcso() + 2 ? end : context.ipcso() + 2;
  if (end > kMaxHeadBytes) return false;
  needed = end;
  return true;
}

void insert_checksum(std::span<uint8_t> frame, unsigned from, uint32_t to, unsigned at) noexcept {
  if (to > frame.size()) to = static_cast<uint32_t>(frame.size());
  if (from >= to || at + 2 > frame.size()) return;
  const uint64_t sum = vale::checksum_add(frame.subspan(from, to - from));
  vale::store_checksum(&frame[at], vale::checksum_finish_nonzero(sum));
}

void finish_checksums(std::span<uint8_t> frame, const TxContext& context, const TxRequest& request) noexcept {
  const auto end = [&](unsigned last) { return last == 0 ? static_cast<uint32_t>(frame.size()) : last + 1; };
  if (request.checksum) insert_checksum(frame, context.tucss(), end(context.tucse()), context.tucso());
  if (request.ip_checksum) insert_checksum(frame, context.ipcss(), end(context.ipcse()), context.ipcso());
  if (request.insert) insert_checksum(frame, request.insert_from, end(0), request.insert_at);
}

bool can_cut(uint32_t bytes, const TxContext& context, const TxRequest& request) noexcept {
  const unsigned header = context.header_bytes(), ip = context.ipcss(), transport = context.tucss();
  if (context.mss() == 0 || header < kEthernetBytes || bytes <= header) return false;
  if (ip < kEthernetBytes || ip + (context.ipv4() ? kIpv4Bytes : kIpv6Bytes) > header) return false;
  if (transport < ip || transport + (context.tcp() ? kTcpBytes : 8u) > header) return false;
  if (request.checksum && (context.tucse() != 0 || context.tucso() < transport || context.tucso() + 2u > header))
    return false;
  return !request.ip_checksum || (context.ipcso() + 2u <= header && context.ipcse() < header);
}

void cut_segment(std::span<uint8_t> head, uint32_t index, uint32_t payload, bool last, const TxContext& context,
                 const TxRequest& request, vale::VnetHdr& hdr) noexcept {
  const auto bytes = static_cast<uint32_t>(head.size()) + payload;
  const unsigned ip = context.ipcss(), transport = context.tucss();
  set_ip_length(head, bytes, context);
  if (context.ipv4()) store_be16(&head[ip + 4], static_cast<uint16_t>(load_be16(&head[ip + 4]) + index));
  if (context.tcp()) {
    store_be32(&head[transport + 4], load_be32(&head[transport + 4]) + index * context.mss());
    if (!last) head[transport + 13] &= static_cast<uint8_t>(~kFinPsh);
  } else {
    store_be16(&head[transport + 4], static_cast<uint16_t>(bytes - transport));
  }
  hdr = {};
  if (request.checksum) {
    add_length(&head[context.tucso()], bytes - transport);
    ask_checksum(hdr, transport, context.tucso());
  }
  if (request.ip_checksum)
    insert_checksum(head, ip, context.ipcse() == 0 ? static_cast<uint32_t>(head.size()) : context.ipcse() + 1,
                    context.ipcso());
}

}  // namespace unetmap::e1000
