// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/switch/settings.hh"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

namespace unetmap::daemon {
namespace {

using vale::FenceRules;

constexpr uint64_t kLeastRate = 8'000, kMostRate = 1'000'000'000'000;  // bits a second
constexpr uint64_t kLeastBurst = 131072;                               // bytes: two frames of 64 KB

Result<void> read_mac(const std::string& text, uint64_t& mac) {
  unsigned b[6];
  char end;
  if (text.size() != 17 ||
      sscanf(text.c_str(), "%2x:%2x:%2x:%2x:%2x:%2x%c", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &end) != 6)
    return Error{EINVAL, text + ": is no Ethernet address; give one such as 02:00:00:00:00:01"};
  mac = 0;
  for (int i = 0; i < 6; i++) mac |= uint64_t{b[i]} << (8 * i);
  if (mac == 0 || b[0] & 1) return Error{EINVAL, text + ": is no address of a single station"};
  return {};
}

uint64_t load_be64(const uint8_t* at) {
  uint64_t out = 0;
  for (int i = 0; i < 8; i++) out = out << 8 | at[i];
  return out;
}

Result<void> add_address(const std::string& text, FenceRules& to) {
  Error bad{EINVAL, text + ": is no IP address or network; give some such as 10.0.0.5 or fd00:1::/64"};
  size_t slash = text.find('/');
  std::string address = text.substr(0, slash);
  uint32_t prefix = UINT32_MAX;
  if (slash != std::string::npos) {
    const char *from = text.c_str() + slash + 1, *end = text.c_str() + text.size();
    auto read = std::from_chars(from, end, prefix);
    if (read.ec != std::errc() || read.ptr != end || prefix > 128) return bad;
  }
  uint8_t bytes[16];
  if (inet_pton(AF_INET, address.c_str(), bytes) == 1) {
    if (prefix == UINT32_MAX) prefix = 32;
    if (prefix > 32) return bad;
    if (to.count4 == FenceRules::kMax4) return Error{EINVAL, text + ": more than 8 IPv4 addresses; give networks"};
    uint32_t mask = prefix == 0 ? 0 : ~uint32_t{0} << (32 - prefix), value;
    memcpy(&value, bytes, 4);
    to.range4[to.count4++] = {ntohl(value) & mask, mask};
    return {};
  }
  if (inet_pton(AF_INET6, address.c_str(), bytes) != 1) return bad;
  if (to.count6 == FenceRules::kMax6) return Error{EINVAL, text + ": more than 6 IPv6 addresses; give networks"};
  to.range6[to.count6++] = {load_be64(bytes), load_be64(bytes + 8), prefix == UINT32_MAX ? 128 : prefix};
  return {};
}

Result<void> read_addresses(const Json& list, FenceRules& to) {
  to.addresses = !list.is_null();
  to.count4 = to.count6 = 0;
  if (list.is_null()) return {};
  if (!list.is_array() || list.empty()) return Error{EINVAL, "addresses: is no list of IP addresses"};
  for (const Json& each : list) {
    if (!each.is_string()) return Error{EINVAL, "addresses: is no list of IP addresses"};
    if (auto added = add_address(each.get<std::string>(), to); !added) return added;
  }
  return {};
}

Result<uint64_t> read_number(const char* what, const Json& value, uint64_t least, uint64_t most) {
  if (value.is_null()) return uint64_t{0};
  if (!value.is_number_unsigned() || value.get<uint64_t>() < least || value.get<uint64_t>() > most)
    return Error{
        EINVAL, std::string(what) + ": must be a number from " + std::to_string(least) + " to " + std::to_string(most)};
  return value.get<uint64_t>();
}

Result<void> change(PortSettings& to, const std::string& key, const Json& value) {
  if (key == "lossless" || key == "zero_copy") {
    if (!value.is_boolean()) return Error{EINVAL, key + ": is neither true nor false"};
    (key == "lossless" ? to.lossless : to.zero_copy) = value.get<bool>();
    return {};
  }
  if (key == "mac") {
    to.fence.mac = 0;
    if (value.is_null()) return {};
    if (!value.is_string()) return Error{EINVAL, "mac: is no Ethernet address"};
    return read_mac(value.get<std::string>(), to.fence.mac);
  }
  if (key == "addresses") return read_addresses(value, to.fence);
  if (key == "isolated") {
    auto group = read_number("isolated", value, 1, UINT32_MAX);
    if (!group) return group.error();
    to.group = uint32_t(*group);
    return {};
  }
  if (key == "rate") {
    auto rate = read_number("rate", value, kLeastRate, kMostRate);
    if (!rate) return rate.error();
    to.fence.rate = *rate / 8;
    to.fence.burst = *rate == 0 ? 0 : std::max(to.fence.rate / 50, kLeastBurst);
    return {};
  }
  if (key == "mirror") {
    if (!value.is_null() && !value.is_string()) return Error{EINVAL, "mirror: is no port"};
    to.mirror = value.is_null() ? "" : value.get<std::string>();
    return {};
  }
  if (Result<void> done; change_rules(to.rules, key, value, done)) return done;
  return Error{EINVAL, key + ": nothing that can be set; see unetmap(8), set"};
}

std::string text4(const FenceRules::Range4& range) {
  char text[INET_ADDRSTRLEN];
  uint32_t address = htonl(range.address);
  inet_ntop(AF_INET, &address, text, sizeof text);
  return std::string(text) + "/" + std::to_string(__builtin_popcount(range.mask));
}

std::string text6(const FenceRules::Range6& range) {
  char text[INET6_ADDRSTRLEN];
  uint8_t bytes[16];
  for (int i = 0; i < 8; i++) {
    bytes[i] = uint8_t(range.high >> (56 - 8 * i));
    bytes[8 + i] = uint8_t(range.low >> (56 - 8 * i));
  }
  inet_ntop(AF_INET6, bytes, text, sizeof text);
  return std::string(text) + "/" + std::to_string(range.prefix);
}

}  // namespace

std::string mac_text(uint64_t mac) {
  char text[18];
  auto byte = [&](int i) { return unsigned(mac >> (8 * i)) & 0xff; };
  snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", byte(0), byte(1), byte(2), byte(3), byte(4), byte(5));
  return text;
}

Result<PortSettings> parse_settings(const std::string& port, const Json& wanted, const PortSettings& now) {
  PortSettings out = now;
  if (wanted.empty()) return Error{EINVAL, port + ": nothing to set; see unetmap(8), set"};
  for (auto& [key, value] : wanted.items())
    if (auto changed = change(out, key, value); !changed)
      return Error{changed.error().code, port + ": " + changed.error().text};
  return out;
}

Json settings_json(const PortSettings& settings) {
  Json out = Json::object();
  const FenceRules& fence = settings.fence;
  if (fence.mac) out["mac"] = mac_text(fence.mac);
  if (fence.addresses) {
    Json list = Json::array();
    for (uint32_t i = 0; i < fence.count4; i++) list.push_back(text4(fence.range4[i]));
    for (uint32_t i = 0; i < fence.count6; i++) list.push_back(text6(fence.range6[i]));
    out["addresses"] = std::move(list);
  }
  if (settings.group) out["isolated"] = settings.group;
  if (fence.rate) out["rate"] = fence.rate * 8;
  if (!settings.mirror.empty()) out["mirror"] = settings.mirror;
  add_rules(settings.rules, false, out);
  return out;
}

Json all_settings_json(const PortSettings& settings) {
  Json out = settings_json(settings);
  if (settings.lossless) out["lossless"] = true;
  if (settings.zero_copy) out["zero_copy"] = true;
  return out;
}

Json kept_settings_json(const PortSettings& settings) {
  Json out = all_settings_json(settings);
  add_rules(settings.rules, true, out);
  return out;
}

Json without_programs(const Json& kept) {
  Json out = kept;
  for (const char* list : {"acl_in", "acl_out"})
    if (out.contains(list))
      for (Json& line : out[list]) line = Json(line["rule"]);
  return out;
}

}  // namespace unetmap::daemon
