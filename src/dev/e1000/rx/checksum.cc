// SPDX-License-Identifier: BSD-2-Clause
#include "dev/e1000/rx/checksum.hh"

#include <algorithm>
#include <array>
#include <cstring>

#include "dev/e1000/registers.hh"
#include "vale/checksum.hh"
#include "vale/segment.hh"
#include "vale/wire_bytes.hh"

namespace unetmap::e1000 {
namespace {

constexpr uint8_t kTcp = 6, kUdp = 17;
constexpr size_t kHeadBytes = 128;

// Tables for eight bytes at a time.
constexpr auto make_crc_tables() {
  std::array<std::array<uint32_t, 256>, 8> tables{};
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb8'8320 : 0);
    tables[0][i] = crc;
  }
  for (uint32_t i = 0; i < 256; i++)
    for (size_t t = 1; t < 8; t++) tables[t][i] = tables[t - 1][i] >> 8 ^ tables[0][tables[t - 1][i] & 0xff];
  return tables;
}
constexpr auto kCrc = make_crc_tables();

uint32_t crc_add(std::span<const uint8_t> bytes, uint32_t crc) noexcept {
  const uint8_t* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= 8; left -= 8, at += 8) {
    uint32_t low, high;
    std::memcpy(&low, at, 4);
    std::memcpy(&high, at + 4, 4);
    if constexpr (std::endian::native == std::endian::big) {
      low = __builtin_bswap32(low);
      high = __builtin_bswap32(high);
    }
    low ^= crc;
    crc = kCrc[7][low & 0xff] ^ kCrc[6][low >> 8 & 0xff] ^ kCrc[5][low >> 16 & 0xff] ^ kCrc[4][low >> 24] ^
          kCrc[3][high & 0xff] ^ kCrc[2][high >> 8 & 0xff] ^ kCrc[1][high >> 16 & 0xff] ^ kCrc[0][high >> 24];
  }
  for (; left > 0; left--, at++) crc = crc >> 8 ^ kCrc[0][(crc ^ *at) & 0xff];
  return crc;
}

uint16_t folded(uint64_t sum) noexcept { return static_cast<uint16_t>(~vale::checksum_finish(sum)); }

// A copy of the first bytes: another guest may write the frame while we read it.
std::span<const uint8_t> head_of(Pieces pieces, std::array<uint8_t, kHeadBytes>& copy) noexcept {
  size_t done = 0;
  for (const std::span<const uint8_t> piece : pieces) {
    const size_t step = std::min(piece.size(), kHeadBytes - done);
    std::memcpy(copy.data() + done, piece.data(), step);
    done += step;
    if (done == kHeadBytes) break;
  }
  return {copy.data(), done};
}

struct Transport {
  uint32_t from = 0, to = 0;  // in the frame
  uint64_t pseudo = 0;
};

// Where TCP or UDP lies, and the sum of its pseudo header. False: none whole.
bool find_transport(std::span<const uint8_t> head, uint32_t bytes, const vale::HeaderLayout& layout,
                    Transport& out) noexcept {
  if (layout.protocol != kTcp && layout.protocol != kUdp) return false;
  const auto ip = static_cast<uint32_t>(layout.network);
  out.from = static_cast<uint32_t>(layout.transport);
  uint32_t addresses, address_bytes;
  if (layout.ipv6) {
    out.to = ip + 40 + vale::load_be16(&head[ip + 4]);
    addresses = ip + 8;
    address_bytes = 32;
  } else {
    out.to = ip + vale::load_be16(&head[ip + 2]);
    addresses = ip + 12;
    address_bytes = 8;
  }
  if (out.to > bytes || out.from + 8 > out.to || addresses + address_bytes > head.size()) return false;
  out.pseudo = vale::checksum_add(head.subspan(addresses, address_bytes));
  out.pseudo = vale::checksum_add_number(layout.protocol, out.pseudo);
  out.pseudo = vale::checksum_add_number(static_cast<uint16_t>(out.to - out.from), out.pseudo);
  return true;
}

}  // namespace

uint64_t sum_of(Pieces pieces, uint32_t from, uint32_t to) noexcept {
  uint64_t sum = 0;
  bool odd = false;
  uint32_t at = 0;  // of the piece, in the frame
  for (const std::span<const uint8_t> piece : pieces) {
    const auto end = at + static_cast<uint32_t>(piece.size());
    const uint32_t first = std::max(at, from), last = std::min(end, to);
    if (first < last) {
      const uint64_t part = vale::checksum_add(piece.subspan(first - at, last - first));
      if (odd) {  // its bytes stand in the other half of each word
        const uint16_t word = folded(part);
        sum += static_cast<uint16_t>(word << 8 | word >> 8);
      } else {
        sum += folded(part);
      }
      odd ^= ((last - first) & 1) != 0;
    }
    at = end;
  }
  return sum;
}

uint32_t crc_of(Pieces pieces) noexcept {
  uint32_t crc = 0xffff'ffff;
  for (const std::span<const uint8_t> piece : pieces) crc = crc_add(piece, crc);
  return ~crc;
}

RxChecksum check_received(Pieces pieces, uint32_t bytes, uint32_t rxcsum, bool trusted) noexcept {
  RxChecksum out;
  if (!(rxcsum & (kRxcsumIpofl | kRxcsumTuofl))) return out;
  const uint32_t start = rxcsum & kRxcsumPcss;
  if (start < bytes) {
    const uint16_t sum = vale::checksum_finish(sum_of(pieces, start, bytes));
    uint8_t as_stored[2];
    vale::store_checksum(as_stored, sum);
    out.packet = vale::load_be16(as_stored);
  }
  std::array<uint8_t, kHeadBytes> copy;
  const std::span<const uint8_t> head = head_of(pieces, copy);
  vale::HeaderLayout layout;
  const vale::Refusal refusal = vale::parse_headers(head, layout);
  const bool ip = refusal == vale::Refusal::kNone && !layout.ipv6;
  if (ip && (rxcsum & kRxcsumIpofl)) {
    out.status = static_cast<uint8_t>(out.status & ~RxChecksum::kIxsm) | RxChecksum::kIpcs;
    const size_t header = (head[layout.network] & 15u) * 4;
    if (folded(vale::checksum_add(head.subspan(layout.network, header))) != 0xffff) out.errors |= RxChecksum::kIpe;
  }
  if (!ip || !(rxcsum & kRxcsumTuofl)) return out;
  Transport transport;
  if (!find_transport(head, bytes, layout, transport)) return out;
  if (layout.protocol == kUdp && layout.transport + 8 <= head.size() &&
      vale::load_be16(&head[layout.transport + 6]) == 0)
    return out;
  out.status = static_cast<uint8_t>(out.status & ~RxChecksum::kIxsm) | RxChecksum::kTcpcs;
  if (!trusted && folded(transport.pseudo + sum_of(pieces, transport.from, transport.to)) != 0xffff)
    out.errors |= RxChecksum::kTcpe;
  return out;
}

}  // namespace unetmap::e1000
