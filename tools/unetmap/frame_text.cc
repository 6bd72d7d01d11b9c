// SPDX-License-Identifier: BSD-2-Clause
#include "frame_text.hh"

#include <arpa/inet.h>
#include <fmt/core.h>

namespace unetmap::cli {
namespace {

using Bytes = std::span<const uint8_t>;

constexpr uint16_t kIpv4 = 0x0800, kArp = 0x0806, kVlan = 0x8100, kServiceVlan = 0x88a8, kIpv6 = 0x86dd;
constexpr uint8_t kIcmp = 1, kTcp = 6, kUdp = 17, kIcmp6 = 58;
constexpr std::string_view kCut = " (cut off)";

uint16_t number16(Bytes frame, size_t at) { return uint16_t(frame[at] << 8 | frame[at + 1]); }

std::string ip_text(int family, Bytes address) {
  char text[INET6_ADDRSTRLEN] = "?";
  inet_ntop(family, address.data(), text, sizeof text);
  return text;
}

// "A > B PROTOCOL", with ports where there are such.
std::string transport(const std::string& from, const std::string& to, uint8_t protocol, Bytes rest, bool first) {
  const bool with_ports = (protocol == kTcp || protocol == kUdp) && first && rest.size() >= 4;
  const std::string name = protocol == kTcp                          ? "TCP"
                           : protocol == kUdp                        ? "UDP"
                           : protocol == kIcmp || protocol == kIcmp6 ? "ICMP"
                                                                     : fmt::format("protocol {}", protocol);
  if (!with_ports) return fmt::format("{} > {} {}{}", from, to, name, first ? "" : " fragment");
  return fmt::format("{}:{} > {}:{} {}", from, number16(rest, 0), to, number16(rest, 2), name);
}

std::string ipv4(Bytes packet) {
  if (packet.size() < 20) return std::string(kCut);
  const size_t header = size_t(packet[0] & 15) * 4;
  if (packet[0] >> 4 != 4 || header < 20) return " with a broken header";
  const bool first = (number16(packet, 6) & 0x1fff) == 0;
  const Bytes rest = header <= packet.size() ? packet.subspan(header) : Bytes();
  return " " +
         transport(ip_text(AF_INET, packet.subspan(12)), ip_text(AF_INET, packet.subspan(16)), packet[9], rest, first);
}

std::string ipv6(Bytes packet) {
  if (packet.size() < 40) return std::string(kCut);
  if (packet[0] >> 4 != 6) return " with a broken header";
  return " " + transport("[" + ip_text(AF_INET6, packet.subspan(8)) + "]",
                         "[" + ip_text(AF_INET6, packet.subspan(24)) + "]", packet[6], packet.subspan(40), true);
}

std::string arp(Bytes packet) {
  if (packet.size() < 28) return std::string(kCut);
  const uint16_t operation = number16(packet, 6);
  const std::string sender = ip_text(AF_INET, packet.subspan(14)), target = ip_text(AF_INET, packet.subspan(24));
  if (operation == 1) return fmt::format(" who has {}? tell {}", target, sender);
  if (operation == 2) return fmt::format(" {} is at {}", sender, address_text(packet, 8));
  return fmt::format(" operation {}", operation);
}

}  // namespace

std::string address_text(Bytes frame, size_t at) {
  if (frame.size() < at + 6) return "";
  const Bytes a = frame.subspan(at, 6);
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", a[0], a[1], a[2], a[3], a[4], a[5]);
}

std::string frame_text(Bytes frame, size_t bytes) {
  const std::string length = fmt::format(", {} bytes", bytes);
  if (frame.size() < 14) return "no Ethernet header" + length;
  std::string out = address_text(frame, 6) + " > " + address_text(frame, 0);
  size_t at = 12;
  uint16_t type = number16(frame, at);
  for (at += 2; (type == kVlan || type == kServiceVlan) && frame.size() >= at + 4; at += 4) {
    out += fmt::format(" vlan {}", number16(frame, at) & 0xfff);
    type = number16(frame, at + 2);
  }
  const Bytes rest = frame.subspan(at);
  if (type == kIpv4)
    out += " IPv4" + ipv4(rest);
  else if (type == kIpv6)
    out += " IPv6" + ipv6(rest);
  else if (type == kArp)
    out += " ARP" + arp(rest);
  else if (type < 1536)
    out += " 802.3";
  else
    out += fmt::format(" type 0x{:04x}", type);
  return out + length;
}

}  // namespace unetmap::cli
