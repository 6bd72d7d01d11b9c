// SPDX-License-Identifier: BSD-2-Clause
#include "router.hh"

#include <arpa/inet.h>
#include <fmt/core.h>
#include <net/if.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "parts/system.hh"

namespace unetmap::tlem {
namespace {

constexpr size_t kEthernetBytes = 14, kArpBytes = 28, kIp4Bytes = 20, kShortestFrame = 60;
constexpr uint16_t kIp4 = 0x0800, kArp = 0x0806;
constexpr uint16_t kRequest = 1, kReply = 2;
constexpr Mac kBroadcast{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
constexpr size_t kMaxNeighbours = 65536, kMaxOutgoing = 1024;  // what strangers can make us keep
constexpr uint64_t kAskAgainNs = 1'000'000'000, kForgetNs = 600'000'000'000;

uint32_t number(std::span<const uint8_t> bytes, size_t at, size_t count) {
  uint32_t out = 0;
  for (size_t i = 0; i < count; i++) out = out << 8 | bytes[at + i];
  return out;
}

void put(std::vector<uint8_t>& out, uint32_t value, size_t count) {
  for (size_t i = count; i-- > 0;) out.push_back(uint8_t(value >> (8 * i)));
}

Mac mac_at(std::span<const uint8_t> bytes, size_t at) {
  Mac out;
  std::copy_n(bytes.begin() + std::ptrdiff_t(at), out.size(), out.begin());
  return out;
}

uint32_t address_in(const sockaddr& address) {
  sockaddr_in in;
  memcpy(&in, &address, sizeof in);
  return ntohl(in.sin_addr.s_addr);
}

}  // namespace

Result<uint32_t> parse_ip4(const std::string& text) {
  in_addr out;
  if (inet_pton(AF_INET, text.c_str(), &out) != 1) return Error{EINVAL, fmt::format("'{}' is no IPv4 address", text)};
  return ntohl(out.s_addr);
}

Result<RouterPort> router_port_of(const std::string& port) {
  std::string name = port.starts_with("netmap:") ? port.substr(7) : port.substr(port.find(':') + 1);
  name = name.substr(0, name.find_first_of("-*^{}/@"));
  ifreq request{};
  if (name.empty() || name.size() >= sizeof request.ifr_name) return Error{EINVAL, port + ": is no network interface"};
  name.copy(request.ifr_name, name.size());
  UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  RouterPort out;
  if (ioctl(socket.get(), SIOCGIFADDR, &request) < 0) {
    return Error{
        errno, fmt::format("{}: route mode needs an IPv4 address of the interface {}: ip addr add ADDRESS/BITS dev {}",
                           port, name, name)};
  }
  out.address = address_in(request.ifr_addr);
  if (ioctl(socket.get(), SIOCGIFNETMASK, &request) < 0) return Error::from_errno(errno, name + ": network mask");
  out.mask = address_in(request.ifr_netmask);
  const auto mac = parts::ether_address(name);
  if (!mac) return Error{EADDRNOTAVAIL, name + ": it has no Ethernet address, and route mode needs one"};
  out.mac = *mac;
  return out;
}

Router::Router(const std::array<RouterPort, 2>& ports) {
  for (size_t i = 0; i < 2; i++) {
    sides_[i].port = ports[i];
    sides_[i].wake = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  }
}

bool Router::route(size_t from, std::span<uint8_t> frame, uint64_t now_ns) {
  if (frame.size() < kEthernetBytes) return false;
  std::lock_guard lock(mutex_);
  Side& in = sides_[from];
  Side& out = sides_[1 - from];
  const uint32_t type = number(frame, 12, 2);
  if (type == kArp) take_arp(in, frame, now_ns);
  if (type != kIp4 || frame.size() < kEthernetBytes + kIp4Bytes || mac_at(frame, 0) != in.port.mac) return false;
  const uint32_t to = number(frame, kEthernetBytes + 16, 4);
  if (in.port.has(to) || to == out.port.address) return false;
  if (!out.port.has(to) && !out.port.gateway) return false;
  const Mac next = resolve(out, out.port.has(to) ? to : *out.port.gateway, now_ns);
  std::copy(next.begin(), next.end(), frame.begin());
  std::copy(out.port.mac.begin(), out.port.mac.end(), frame.begin() + 6);
  return true;
}

void Router::take_arp(Side& side, std::span<const uint8_t> frame, uint64_t now_ns) {
  if (frame.size() < kEthernetBytes + kArpBytes) return;
  const std::span<const uint8_t> arp = frame.subspan(kEthernetBytes, kArpBytes);
  // Ethernet and IPv4.
  if (number(arp, 0, 2) != 1 || number(arp, 2, 2) != kIp4 || number(arp, 4, 2) != 0x0604) return;
  const Mac sender_mac = mac_at(arp, 8);
  const uint32_t sender = number(arp, 14, 4), target = number(arp, 24, 4);
  if (side.port.has(sender) && sender != side.port.address && !(sender_mac[0] & 1)) {
    if (side.neighbours.size() < kMaxNeighbours || side.neighbours.contains(sender))
      side.neighbours[sender] = {sender_mac, now_ns};
  }
  if (number(arp, 6, 2) == kRequest && target == side.port.address) send(side, kReply, sender_mac, sender_mac, sender);
}

// The next hop's address; until it is known, everybody's.
Mac Router::resolve(Side& side, uint32_t ip, uint64_t now_ns) {
  const auto known = side.neighbours.find(ip);
  const bool fresh = known != side.neighbours.end() && now_ns - known->second.learned_ns < kForgetNs;
  if (!fresh) {
    if (side.asked_ns.size() >= kMaxNeighbours) side.asked_ns.clear();
    uint64_t& asked = side.asked_ns[ip];
    if (asked == 0 || now_ns - asked >= kAskAgainNs) {
      asked = now_ns;
      send(side, kRequest, kBroadcast, Mac{}, ip);
    }
  }
  return known != side.neighbours.end() ? known->second.mac : kBroadcast;
}

void Router::send(Side& side, uint16_t operation, const Mac& to, const Mac& target_mac, uint32_t target) {
  if (side.outgoing.size() >= kMaxOutgoing) return;
  std::vector<uint8_t> frame(to.begin(), to.end());
  frame.insert(frame.end(), side.port.mac.begin(), side.port.mac.end());
  put(frame, kArp, 2);
  put(frame, 1, 2);
  put(frame, kIp4, 2);
  put(frame, 0x0604, 2);
  put(frame, operation, 2);
  frame.insert(frame.end(), side.port.mac.begin(), side.port.mac.end());
  put(frame, side.port.address, 4);
  frame.insert(frame.end(), target_mac.begin(), target_mac.end());
  put(frame, target, 4);
  frame.resize(kShortestFrame);
  side.outgoing.push_back(std::move(frame));
  const uint64_t one = 1;
  (void)!write(side.wake.get(), &one, sizeof one);
}

std::vector<std::vector<uint8_t>> Router::take_outgoing(size_t port) {
  std::lock_guard lock(mutex_);
  uint64_t count;
  (void)!read(sides_[port].wake.get(), &count, sizeof count);
  return std::exchange(sides_[port].outgoing, {});
}

}  // namespace unetmap::tlem
