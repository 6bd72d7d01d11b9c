// SPDX-License-Identifier: BSD-2-Clause
#include "dev/virtio_net/net_config.hh"

#include <algorithm>
#include <cstring>

#include "guest/words.hh"
#include "vale/wire_bytes.hh"

namespace unetmap::virtio {
namespace {

constexpr uint16_t kLinkUp = 1, kAnnounce = 2;

}  // namespace

std::array<uint8_t, NetConfig::kBytes> NetConfig::bytes() const noexcept {
  std::array<uint8_t, kBytes> out{};
  const auto put = [&](size_t at, auto value) {
    value = little_endian(value);
    std::memcpy(&out[at], &value, sizeof value);
  };
  std::copy(mac.begin(), mac.end(), out.begin());
  put(6, static_cast<uint16_t>((link_up ? kLinkUp : 0) | (announce ? kAnnounce : 0)));
  put(8, max_pairs);
  put(10, mtu);
  put(12, speed_mbps);
  out[16] = duplex;
  return out;
}

std::array<uint8_t, kRarpBytes> rarp_frame(const MacAddress& mac) noexcept {
  std::array<uint8_t, kRarpBytes> frame{};
  std::fill_n(frame.begin(), 6, uint8_t{0xff});
  std::copy(mac.begin(), mac.end(), frame.begin() + 6);
  vale::store_be16(&frame[12], 0x8035);  // reverse ARP
  vale::store_be16(&frame[14], 1);       // Ethernet
  vale::store_be16(&frame[16], 0x0800);  // IPv4
  frame[18] = 6;
  frame[19] = 4;
  vale::store_be16(&frame[20], 3);  // request: whose addresses both are this one, and nobody has to answer
  std::copy(mac.begin(), mac.end(), frame.begin() + 22);
  std::copy(mac.begin(), mac.end(), frame.begin() + 32);
  return frame;
}

}  // namespace unetmap::virtio
