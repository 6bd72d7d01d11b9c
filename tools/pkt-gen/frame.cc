// SPDX-License-Identifier: BSD-2-Clause
#include "frame.hh"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <string_view>

#include "checksum.hh"

namespace unetmap::pktgen {
namespace {

constexpr uint32_t kEthernetBytes = 14;
constexpr uint32_t kIp4Bytes = 20;
constexpr uint32_t kIp6Bytes = 40;
constexpr uint32_t kUdpBytes = 8;
constexpr std::string_view kPayload = "a packet made by pkt-gen of unetmap. ";

constexpr uint32_t kDestinationMac = 0;
constexpr uint32_t kSourceMac = 6;
constexpr uint32_t kIp4Checksum = kEthernetBytes + 10;

uint32_t source_offset(bool v4) { return kEthernetBytes + (v4 ? 12 : 8); }
uint32_t destination_offset(bool v4) { return kEthernetBytes + (v4 ? 16 : 24); }
uint32_t udp_offset(bool v4) { return kEthernetBytes + (v4 ? kIp4Bytes : kIp6Bytes); }

}  // namespace

Frame::Frame(const FrameSpec& spec)
    : spec_(spec),
      v4_(spec.source.family == Family::v4),
      size_(spec.bytes),
      payload_(payload_offset(spec.source.family)),
      varies_(spec.random_source || spec.random_destination || !spec.source.single() || !spec.destination.single() ||
              !spec.source_mac.single() || !spec.destination_mac.single()),
      source_(spec.source.first),
      destination_(spec.destination.first),
      source_port_(spec.source.first_port),
      destination_port_(spec.destination.first_port),
      source_mac_(spec.source_mac.first),
      destination_mac_(spec.destination_mac.first),
      random_state_(spec.seed * 0x9E3779B97F4A7C15ull | 1),
      // Headers always fit, also in frames cut shorter than them; 64 more bytes let copies work in whole cache lines.
      bytes_(kMaxVnetHeader + std::max(spec.bytes, payload_ + kStampBytes) + 64) {
  build();
}

void Frame::build() {
  uint8_t* f = frame();
  auto copy_mac = [f](uint32_t offset, uint64_t mac) {
    auto bytes = mac_bytes(mac);
    std::copy(bytes.begin(), bytes.end(), f + offset);
  };
  auto copy_ip = [this, f](uint32_t offset, IpNumber address) {
    auto bytes = ip_bytes(address);
    std::copy(bytes.begin() + (v4_ ? 12 : 0), bytes.end(), f + offset);
  };
  copy_mac(kDestinationMac, destination_mac_);
  copy_mac(kSourceMac, source_mac_);
  store16(f + 12, htons(v4_ ? 0x0800 : 0x86dd));
  uint8_t* ip = f + kEthernetBytes;
  if (v4_) {
    ip[0] = 0x45;
    ip[1] = 0x10;                    // low delay
    store16(ip + 6, htons(0x4000));  // do not fragment
    ip[8] = 64;
    ip[9] = IPPROTO_UDP;
  } else {
    ip[0] = 0x60;
    ip[6] = IPPROTO_UDP;
    ip[7] = 64;
  }
  copy_ip(source_offset(v4_), source_);
  copy_ip(destination_offset(v4_), destination_);
  uint8_t* udp = f + udp_offset(v4_);
  store16(udp, htons(source_port_));
  store16(udp + 2, htons(destination_port_));
  for (uint32_t i = payload_; i < std::max(spec_.bytes, payload_ + kStampBytes); i++) {
    f[i] = uint8_t(kPayload[(i - payload_) % kPayload.size()]);
  }
  write_lengths();
  write_checksums();
}

void Frame::write_lengths() {
  uint8_t* f = frame();
  uint32_t ip_bytes_total = std::max(size_, payload_) - kEthernetBytes;
  uint32_t udp_bytes = ip_bytes_total - (v4_ ? kIp4Bytes : kIp6Bytes);
  store16(f + kEthernetBytes + (v4_ ? 2 : 4), htons(uint16_t(v4_ ? ip_bytes_total : udp_bytes)));
  store16(f + udp_offset(v4_) + 4, htons(uint16_t(udp_bytes)));
}

void Frame::write_checksums() {
  uint8_t* f = frame();
  if (v4_) {
    store16(f + kIp4Checksum, 0);
    store16(f + kIp4Checksum, finish(add_words(f + kEthernetBytes, kIp4Bytes)));
  }
  uint8_t* udp = f + udp_offset(v4_);
  store16(udp + 6, 0);
  uint32_t payload_bytes = std::max(size_, payload_) - payload_;
  uint64_t sum = add_words(f + source_offset(v4_), v4_ ? 8 : 32);
  sum += uint64_t{htons(IPPROTO_UDP)} + load16(udp + 4);
  sum = add_words(udp, kUdpBytes, sum);
  uint32_t direct = payload_sums_.empty() ? payload_bytes : std::min(payload_bytes, kStampBytes);
  sum = add_words(f + payload_, direct, sum);
  if (uint32_t rest = payload_bytes - direct; rest > 0) {
    sum += payload_sums_[rest / 2];
    if (rest % 2) sum = add_words(f + payload_ + payload_bytes - 1, 1, sum);
  }
  uint16_t checksum = finish(sum);
  store16(udp + 6, checksum ? checksum : 0xffff);  // 0 would mean "not computed"
}

void Frame::replace(uint32_t offset, uint16_t word, bool in_ip_header) {
  uint8_t* f = frame();
  uint16_t was = load16(f + offset);
  store16(f + offset, word);
  if (in_ip_header && v4_) store16(f + kIp4Checksum, updated(load16(f + kIp4Checksum), was, word));
  uint8_t* at = f + udp_offset(v4_) + 6;
  uint16_t checksum = updated(load16(at), was, word);
  store16(at, checksum ? checksum : 0xffff);
}

void Frame::put_address(uint32_t offset, IpNumber address) {
  auto bytes = ip_bytes(address);
  for (uint32_t i = v4_ ? 12 : 0; i < 16; i += 2, offset += 2) replace(offset, load16(bytes.data() + i), true);
}

void Frame::put_mac(uint32_t offset, uint64_t mac) {
  auto bytes = mac_bytes(mac);
  std::copy(bytes.begin(), bytes.end(), frame() + offset);
}

uint64_t Frame::random() {
  // xorshift64*: addresses need variety, not secrecy.
  random_state_ ^= random_state_ >> 12;
  random_state_ ^= random_state_ << 25;
  random_state_ ^= random_state_ >> 27;
  return random_state_ * 0x2545F4914F6CDD1Dull;
}

// Returns true when this side has gone through its range, so that the other one is to advance.
bool Frame::step_side(const IpRange& range, bool random_side, IpNumber& address, uint16_t& port,
                      uint32_t address_offset, uint32_t port_offset) {
  if (random_side) {
    uint64_t drawn = random();
    if (v4_) {
      address = uint32_t(drawn);
    } else {
      address = (range.first >> 64 << 64) | random();
    }
    port = uint16_t(drawn >> 48);
    put_address(address_offset, address);
    replace(port_offset, htons(port), false);
    return true;
  }
  if (range.single()) return true;
  bool ports_done = port >= range.last_port;
  uint16_t next_port = ports_done ? range.first_port : uint16_t(port + 1);
  if (next_port != port) replace(port_offset, htons(port = next_port), false);
  if (!ports_done) return false;
  bool addresses_done = address >= range.last;
  IpNumber next = addresses_done ? range.first : address + 1;
  if (next != address) put_address(address_offset, address = next);
  return addresses_done;
}

void Frame::step() {
  uint32_t udp = udp_offset(v4_);
  bool source_done = step_side(spec_.source, spec_.random_source, source_, source_port_, source_offset(v4_), udp);
  if (source_done) {
    step_side(spec_.destination, spec_.random_destination, destination_, destination_port_, destination_offset(v4_),
              udp + 2);
  }
  if (!spec_.source_mac.single()) {
    source_mac_ = source_mac_ >= spec_.source_mac.last ? spec_.source_mac.first : source_mac_ + 1;
    put_mac(kSourceMac, source_mac_);
  }
  if (!spec_.destination_mac.single()) {
    destination_mac_ =
        destination_mac_ >= spec_.destination_mac.last ? spec_.destination_mac.first : destination_mac_ + 1;
    put_mac(kDestinationMac, destination_mac_);
  }
}

void Frame::resize(uint32_t bytes) {
  if (bytes == size_) return;
  if (payload_sums_.empty()) {
    uint32_t from = payload_ + kStampBytes;
    uint32_t words = spec_.bytes > from ? (spec_.bytes - from) / 2 : 0;
    payload_sums_.resize(words + 1);
    for (uint32_t i = 0; i < words; i++) {
      payload_sums_[i + 1] = fold(uint64_t{payload_sums_[i]} + load16(frame() + from + 2 * i));
    }
  }
  size_ = bytes;
  write_lengths();
  write_checksums();
}

void Frame::put_sequence(uint32_t number) {
  uint32_t wire = htonl(number);
  uint8_t bytes[4];
  memcpy(bytes, &wire, sizeof wire);
  for (uint32_t i = 0; i < sizeof bytes; i += 2) replace(payload_ + i, load16(bytes + i), false);
}

void Frame::put_time(uint64_t ns) {
  uint32_t parts[2] = {uint32_t(ns / 1'000'000'000), uint32_t(ns % 1'000'000'000)};
  uint8_t bytes[8];
  memcpy(bytes, parts, sizeof parts);
  for (uint32_t i = 0; i < sizeof bytes; i += 2) replace(payload_ + 4 + i, load16(bytes + i), false);
}

}  // namespace unetmap::pktgen
