// SPDX-License-Identifier: BSD-2-Clause
#include "vale/fence.hh"

#include <algorithm>

#include "vale/fdb.hh"
#include "vale/wire_bytes.hh"

namespace unetmap::vale {
namespace {

// Words of a FenceEntry.
constexpr uint32_t kHead = 0, kRate = 1, kBurst = 2, kCounts = 3, kFour = 4, kSix = kFour + FenceRules::kMax4;
static_assert(kSix + 3 * FenceRules::kMax6 <= sizeof(FenceEntry) / 8);
constexpr uint64_t kAddresses = uint64_t{1} << 63, kMacBits = (uint64_t{1} << 48) - 1;

constexpr uint16_t kVlan = 0x8100, kServiceVlan = 0x88a8, kIpv4 = 0x0800, kArp = 0x0806, kIpv6 = 0x86dd;
constexpr uint8_t kUdp = 17, kIcmp6 = 58, kHopByHop = 0, kRouting = 43, kFragment = 44, kOptions = 60;
constexpr uint8_t kNeighbourAdvertisement = 136;

uint64_t load_be64(const uint8_t* at) { return uint64_t{load_be32(at)} << 32 | load_be32(at + 4); }

bool prefix_agrees(uint64_t a, uint64_t b, uint32_t bits) {
  return bits == 0 || (a ^ b) >> (64 - std::min(bits, 64u)) == 0;
}

}  // namespace

void FenceRules::store(FenceEntry& to) const {
  auto put = [&](uint32_t at, uint64_t value) { to.word[at].store(value, std::memory_order_relaxed); };
  put(kHead, mac | (addresses ? kAddresses : 0));
  put(kRate, rate);
  put(kBurst, burst);
  put(kCounts, count4 | uint64_t{count6} << 8);
  for (uint32_t i = 0; i < kMax4; i++) put(kFour + i, uint64_t{range4[i].address} << 32 | range4[i].mask);
  for (uint32_t i = 0; i < kMax6; i++) {
    put(kSix + 3 * i, range6[i].high);
    put(kSix + 3 * i + 1, range6[i].low);
    put(kSix + 3 * i + 2, range6[i].prefix);
  }
}

void Fence::load(const FenceEntry& from) {
  auto get = [&](uint32_t at) { return from.word[at].load(std::memory_order_relaxed); };
  uint64_t head = get(kHead), counts = get(kCounts);
  rules_.mac = head & kMacBits;
  rules_.addresses = head & kAddresses;
  rules_.rate = get(kRate);
  rules_.burst = get(kBurst);
  rules_.count4 = std::min<uint32_t>(counts & 0xff, FenceRules::kMax4);
  rules_.count6 = std::min<uint32_t>(counts >> 8 & 0xff, FenceRules::kMax6);
  for (uint32_t i = 0; i < rules_.count4; i++) {
    uint64_t word = get(kFour + i);
    rules_.range4[i] = {uint32_t(word >> 32), uint32_t(word)};
  }
  for (uint32_t i = 0; i < rules_.count6; i++)
    rules_.range6[i] = {get(kSix + 3 * i), get(kSix + 3 * i + 1),
                        std::min<uint32_t>(uint32_t(get(kSix + 3 * i + 2)), 128)};
}

void Fence::earn(uint64_t now_ns) {
  constexpr uint64_t kSecond = 1'000'000'000;
  uint64_t passed = last_ns_ == 0 ? kSecond : std::min(now_ns - last_ns_, kSecond);
  auto earned = uint64_t(__uint128_t(rules_.rate) * passed / kSecond);
  if (earned == 0 && last_ns_ != 0) return;  // too short a time to count: it counts the next time
  last_ns_ = now_ns;
  credit_ = std::min(credit_ + earned, rules_.burst);
}

Fence::Verdict Fence::judge(std::span<const uint8_t> start, uint32_t bytes) {
  if (!good_source(start)) return Verdict::kSpoofed;
  if (rules_.rate == 0) return Verdict::kPass;
  if (credit_ < bytes) return Verdict::kTooFast;
  credit_ -= bytes;
  return Verdict::kPass;
}

bool Fence::good_source(std::span<const uint8_t> frame) const {
  if (frame.size() < 14) return false;
  if (rules_.mac != 0 && load_mac(frame.data() + 6) != rules_.mac) return false;
  if (rules_.mac == 0 && !rules_.addresses) return true;
  size_t at = 12;
  uint16_t type = load_be16(frame.data() + at);
  for (int tags = 0; (type == kVlan || type == kServiceVlan) && tags < 2; tags++) {
    at += 4;
    if (frame.size() < at + 2) return !rules_.addresses;
    type = load_be16(frame.data() + at);
  }
  auto packet = frame.subspan(at + 2);
  switch (type) {
    case kVlan:
    case kServiceVlan:
      return !rules_.addresses;  // deeper than anybody looks
    case kArp:
      return good_arp(packet);
    case kIpv4:
      return !rules_.addresses || good_ipv4(packet);
    case kIpv6:
      return !rules_.addresses || good_ipv6(packet);
    default:
      return true;
  }
}

// Who it is that asks or answers stands in the packet, too.
bool Fence::good_arp(std::span<const uint8_t> arp) const {
  if (arp.size() < 28 || arp[4] != 6 || arp[5] != 4) return false;
  if (rules_.mac != 0 && load_mac(arp.data() + 8) != rules_.mac) return false;
  uint32_t sender = load_be32(arp.data() + 14);
  return !rules_.addresses || sender == 0 || allowed4(sender);
}

bool Fence::good_ipv4(std::span<const uint8_t> packet) const {
  if (packet.size() < 20) return false;
  uint32_t source = load_be32(packet.data() + 12);
  if (source != 0) return allowed4(source);
  // Who has no address yet asks for one.
  size_t header = size_t(packet[0] & 15) * 4;
  return packet[9] == kUdp && header >= 20 && packet.size() >= header + 4 && load_be16(packet.data() + header) == 68 &&
         load_be16(packet.data() + header + 2) == 67;
}

bool Fence::good_ipv6(std::span<const uint8_t> packet) const {
  if (packet.size() < 40 || !allowed6(packet.data() + 8)) return false;
  uint8_t next = packet[6];
  size_t at = 40;
  for (int headers = 0; next == kHopByHop || next == kRouting || next == kOptions; headers++) {
    if (headers == 4 || packet.size() < at + 2) return false;
    next = packet[at];
    at += (size_t{packet[at + 1]} + 1) * 8;
  }
  if (next == kFragment) return packet.size() >= at + 2 && packet[at] != kIcmp6;
  if (next != kIcmp6) return true;
  // An advertisement says whose address somebody has.
  if (packet.size() < at + 1) return false;
  if (packet[at] != kNeighbourAdvertisement) return true;
  return packet.size() >= at + 24 && allowed6(packet.data() + at + 8);
}

bool Fence::allowed4(uint32_t address) const {
  return std::any_of(rules_.range4, rules_.range4 + rules_.count4,
                     [&](auto& range) { return ((address ^ range.address) & range.mask) == 0; });
}

// Link-local addresses, and none at all, are for finding neighbours.
bool Fence::allowed6(const uint8_t* address) const {
  uint64_t high = load_be64(address), low = load_be64(address + 8);
  if (high >> 54 == 0xfe80 >> 6 || (high | low) == 0) return true;
  return std::any_of(rules_.range6, rules_.range6 + rules_.count6, [&](auto& range) {
    return prefix_agrees(high, range.high, range.prefix) &&
           (range.prefix <= 64 || prefix_agrees(low, range.low, range.prefix - 64));
  });
}

}  // namespace unetmap::vale
