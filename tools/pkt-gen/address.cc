// SPDX-License-Identifier: BSD-2-Clause
#include "address.hh"

#include <arpa/inet.h>
#include <fmt/core.h>

#include <charconv>
#include <optional>
#include <utility>

namespace unetmap::pktgen {
namespace {

Error bad(std::string_view text, std::string_view why) {
  return Error{EINVAL, fmt::format("address '{}': {}", text, why)};
}

std::optional<uint64_t> parse_mac(std::string_view text) {
  uint64_t mac = 0;
  const char* at = text.data();
  const char* end = at + text.size();
  for (int group = 0; group < 6; group++) {
    if (group > 0 && (at == end || *at++ != ':')) return std::nullopt;
    uint8_t byte = 0;
    auto [next, error] = std::from_chars(at, end - at > 2 ? at + 2 : end, byte, 16);
    if (error != std::errc{}) return std::nullopt;
    mac = mac << 8 | byte;
    at = next;
  }
  if (at != end) return std::nullopt;
  return mac;
}

struct Endpoint {
  Family family = Family::v4;
  IpNumber address = 0;
  std::optional<uint16_t> port;
};

std::optional<uint16_t> parse_port(std::string_view text) {
  uint16_t port = 0;
  auto [next, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || next != text.data() + text.size()) return std::nullopt;
  return port;
}

std::optional<IpNumber> parse_address(std::string_view text, Family family) {
  std::array<uint8_t, 16> bytes{};
  uint8_t* to = family == Family::v4 ? bytes.data() + 12 : bytes.data();
  if (inet_pton(family == Family::v4 ? AF_INET : AF_INET6, std::string(text).c_str(), to) != 1) return std::nullopt;
  IpNumber number = 0;
  for (uint8_t byte : bytes) number = number << 8 | byte;
  return number;
}

Result<Endpoint> parse_endpoint(std::string_view text) {
  Endpoint end;
  std::string_view address = text, port;
  bool has_port = false;
  if (text.starts_with('[')) {
    size_t close = text.find(']');
    if (close == text.npos) return bad(text, "the bracket is not closed; write [IPV6]:PORT");
    address = text.substr(1, close - 1);
    std::string_view rest = text.substr(close + 1);
    end.family = Family::v6;
    has_port = !rest.empty();
    if (has_port && rest[0] != ':') return bad(text, "expected :PORT after the bracket");
    if (has_port) port = rest.substr(1);
  } else if (size_t colon = text.find(':'); colon == text.npos) {
    end.family = Family::v4;
  } else if (text.find(':', colon + 1) != text.npos) {
    end.family = Family::v6;
  } else {
    address = text.substr(0, colon);
    port = text.substr(colon + 1);
    has_port = true;
  }
  if (has_port) {
    end.port = parse_port(port);
    if (!end.port) return bad(text, "the port is not a number from 0 to 65535");
  }
  std::optional<IpNumber> number = parse_address(address, end.family);
  if (!number) {
    return bad(text, end.family == Family::v4 ? "not an IPv4 address; write it like 10.0.0.1 or 10.0.0.1:2000"
                                              : "not an IPv6 address; write it like fd00::1 or [fd00::1]:2000");
  }
  end.address = *number;
  return end;
}

std::string address_text(Family family, IpNumber address) {
  std::array<uint8_t, 16> bytes = ip_bytes(address);
  char text[INET6_ADDRSTRLEN] = "";
  if (family == Family::v4) {
    inet_ntop(AF_INET, bytes.data() + 12, text, sizeof text);
    return text;
  }
  inet_ntop(AF_INET6, bytes.data(), text, sizeof text);
  return fmt::format("[{}]", text);
}

std::string mac_text(uint64_t mac) {
  auto b = mac_bytes(mac);
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", b[0], b[1], b[2], b[3], b[4], b[5]);
}

}  // namespace

Result<MacRange> parse_mac_range(std::string_view text) {
  constexpr std::string_view kHow = "not a MAC address; write it like aa:bb:cc:dd:ee:00, a range with a dash";
  size_t dash = text.find('-');
  std::optional<uint64_t> first = parse_mac(text.substr(0, dash));
  if (!first) return bad(text, kHow);
  if (dash == text.npos) return MacRange{*first, *first};
  std::optional<uint64_t> last = parse_mac(text.substr(dash + 1));
  if (!last) return bad(text, kHow);
  MacRange range{*first, *last};
  if (range.first > range.last) std::swap(range.first, range.last);
  return range;
}

Result<IpRange> parse_ip_range(std::string_view text) {
  size_t dash = text.find('-');
  Result<Endpoint> from = parse_endpoint(text.substr(0, dash));
  if (!from) return from.error();
  IpRange range;
  range.family = from->family;
  range.first = range.last = from->address;
  range.first_port = range.last_port = from->port.value_or(kDefaultPort);
  if (dash == text.npos) return range;
  Result<Endpoint> to = parse_endpoint(text.substr(dash + 1));
  if (!to) return to.error();
  if (to->family != from->family) return bad(text, "one end of the range is IPv4 and the other IPv6");
  range.last = to->address;
  range.last_port = to->port.value_or(range.first_port);
  if (range.first > range.last) std::swap(range.first, range.last);
  if (range.first_port > range.last_port) std::swap(range.first_port, range.last_port);
  return range;
}

std::string to_string(const MacRange& range) {
  if (range.single()) return mac_text(range.first);
  return mac_text(range.first) + "-" + mac_text(range.last);
}

std::string to_string(const IpRange& range) {
  std::string text = fmt::format("{}:{}", address_text(range.family, range.first), range.first_port);
  if (!range.single()) text += fmt::format("-{}:{}", address_text(range.family, range.last), range.last_port);
  return text;
}

std::array<uint8_t, 6> mac_bytes(uint64_t mac) {
  std::array<uint8_t, 6> bytes;
  for (int i = 0; i < 6; i++) bytes[i] = uint8_t(mac >> (40 - 8 * i));
  return bytes;
}

std::array<uint8_t, 16> ip_bytes(IpNumber address) {
  std::array<uint8_t, 16> bytes;
  for (int i = 0; i < 16; i++) bytes[i] = uint8_t(address >> (120 - 8 * i));
  return bytes;
}

}  // namespace unetmap::pktgen
