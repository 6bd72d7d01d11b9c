// SPDX-License-Identifier: BSD-2-Clause
#include "keeper/interface.hh"

#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netlink/addr.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "keeper/netlink.hh"

namespace unetmap::keeper {
namespace {

ifreq request_for(const std::string& name) {
  ifreq out{};
  name.copy(out.ifr_name, sizeof out.ifr_name - 1);
  return out;
}

}  // namespace

Result<UniqueFd> control_socket() {
  UniqueFd out(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!out) out.reset(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!out) return Error::from_errno(errno, "socket to ask for interfaces");
  return out;
}

Result<Interface> look_up(const std::string& name) {
  auto socket = control_socket();
  if (!socket) return socket.error();
  Interface out{.name = name};
  ifreq request = request_for(name);
  if (ioctl(socket->get(), SIOCGIFINDEX, &request) < 0) {
    if (errno != ENODEV) return Error::from_errno(errno, name);
    return Error{ENODEV, name + ": no such interface in this network namespace; `ip link` lists those there are"};
  }
  out.index = uint32_t(request.ifr_ifindex);
  if (ioctl(socket->get(), SIOCGIFHWADDR, &request) < 0) return Error::from_errno(errno, name);
  out.ethernet = request.ifr_hwaddr.sa_family == ARPHRD_ETHER;
  memcpy(out.mac.data(), request.ifr_hwaddr.sa_data, out.mac.size());
  if (ioctl(socket->get(), SIOCGIFMTU, &request) < 0) return Error::from_errno(errno, name);
  out.mtu = uint32_t(request.ifr_mtu);
  if (ioctl(socket->get(), SIOCGIFFLAGS, &request) < 0) return Error::from_errno(errno, name);
  out.up = request.ifr_flags & IFF_UP;
  return out;
}

Result<Interface> look_up(uint32_t index) {
  const std::string what = "interface " + std::to_string(index);
  auto socket = route_socket();
  if (!socket) return socket.error();
  rtnl_link* found = nullptr;
  const int failed = rtnl_link_get_kernel(socket->get(), int(index), nullptr, &found);
  if (failed == -NLE_NODEV || failed == -NLE_OBJ_NOTFOUND) return Error{ENODEV, what + " has gone"};
  if (failed) return netlink_error(failed, what);
  const Link link(found);
  Interface out{.name = rtnl_link_get_name(link.get()), .index = index, .mtu = rtnl_link_get_mtu(link.get())};
  out.ethernet = rtnl_link_get_arptype(link.get()) == ARPHRD_ETHER;
  out.up = rtnl_link_get_flags(link.get()) & IFF_UP;
  const nl_addr* mac = rtnl_link_get_addr(link.get());
  if (mac && nl_addr_get_len(mac) == out.mac.size())
    memcpy(out.mac.data(), nl_addr_get_binary_addr(mac), out.mac.size());
  return out;
}

std::string name_of(uint32_t index) {
  char name[IF_NAMESIZE];
  return if_indextoname(index, name) ? name : "";
}

uint32_t queue_count(const std::string& name) {
  auto socket = control_socket();
  ethtool_channels channels{.cmd = ETHTOOL_GCHANNELS};
  ifreq request = request_for(name);
  request.ifr_data = reinterpret_cast<char*>(&channels);
  if (socket && ioctl(socket->get(), SIOCETHTOOL, &request) == 0) {
    uint64_t count = uint64_t(channels.combined_count) + std::max(channels.rx_count, channels.tx_count);
    if (count) return uint32_t(std::min<uint64_t>(count, 4096));
  }
  // sysfs may be that of another namespace: then there is no such folder, or one of another interface's queues, and
  // sockets of queues that there are not are refused.
  uint32_t rx = 0, tx = 0;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/class/net/" + name + "/queues", none)) {
    rx += entry.path().filename().string().starts_with("rx-");
    tx += entry.path().filename().string().starts_with("tx-");
  }
  return std::clamp(std::max(rx, tx), 1u, 4096u);
}

std::string driver_of(const std::string& name) {
  auto socket = control_socket();
  ethtool_drvinfo driver{.cmd = ETHTOOL_GDRVINFO};
  ifreq request = request_for(name);
  request.ifr_data = reinterpret_cast<char*>(&driver);
  if (!socket || ioctl(socket->get(), SIOCETHTOOL, &request) < 0) return "?";
  return {driver.driver, strnlen(driver.driver, sizeof driver.driver)};
}

Result<UniqueFd> make_promiscuous(const Interface& interface) {
  UniqueFd out(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  packet_mreq wanted{.mr_ifindex = int(interface.index), .mr_type = PACKET_MR_PROMISC};
  if (!out || setsockopt(out.get(), SOL_PACKET, PACKET_ADD_MEMBERSHIP, &wanted, sizeof wanted) < 0)
    return Error::from_errno(errno, interface.name + ": promiscuous mode");
  return out;
}

}  // namespace unetmap::keeper
