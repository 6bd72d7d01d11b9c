// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/interface/origin.hh"

#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "wire/driven_devices.hh"

namespace unetmap::daemon {
namespace {

const Result<Namespace>& own_namespace() {
  static const Result<Namespace> own = Namespace::own();
  return own;
}

// A request to the kernel about interface `name`, on `probe` or a socket of our own.
bool ask_interface(int probe, const std::string& name, unsigned long request, ifreq& about) {
  UniqueFd own;
  if (probe < 0) {
    own = UniqueFd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    probe = own.get();
  }
  if (name.empty() || name.size() >= sizeof about.ifr_name) return false;
  memcpy(about.ifr_name, name.c_str(), name.size() + 1);
  return ioctl(probe, request, &about) == 0;
}

}  // namespace

bool Origin::own() const {
  if (!name_space) return true;
  auto theirs = Namespace::of(name_space.get());
  return theirs && own_namespace() && *theirs == *own_namespace();
}

uint64_t Origin::inode() const {
  if (own()) return 0;
  auto theirs = Namespace::of(name_space.get());
  return theirs ? theirs->inode : 0;
}

bool Origin::is_interface(const std::string& name) const {
  ifreq about{};
  return ask_interface(asking(), name.substr(0, name.find('@')), SIOCGIFINDEX, about);
}

bool Origin::is_passed_through(const std::string& name) const {
  auto number = wire::passed_number(name);
  return number && own() && *number < wire::passed_functions().size();
}

uint16_t Origin::queues(const std::string& name) const {
  ethtool_channels channels{};
  channels.cmd = ETHTOOL_GCHANNELS;
  ifreq about{};
  about.ifr_data = reinterpret_cast<char*>(&channels);
  if (!ask_interface(asking(), name.substr(0, name.find('@')), SIOCETHTOOL, about)) return 1;
  return uint16_t(std::clamp<uint32_t>(channels.combined_count + channels.rx_count, 1, wire::kMaxKeeperQueues));
}

std::string Origin::interface_name(const std::string& name) const {
  const int there = asking();
  ifreq about{};
  if (!ask_interface(there, name, SIOCGIFINDEX, about)) return "";
  int index = about.ifr_ifindex;
  about = {};
  about.ifr_ifindex = index;
  UniqueFd ours(there < 0 ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1);
  if (ioctl(there < 0 ? ours.get() : there, SIOCGIFNAME, &about) < 0) return "";
  return {about.ifr_name, strnlen(about.ifr_name, sizeof about.ifr_name)};
}

std::string Origin::keeper_key(const std::string& what, const std::string& interface) const {
  const uint64_t theirs = inode();
  const std::string key = what + " " + interface;
  return theirs ? key + "@" + std::to_string(theirs) : key;
}

Result<UniqueFd> Origin::keeper_channel(Interfaces& interfaces, const std::string& interface) const {
  if (own()) return interfaces.start();
  if (channel) return UniqueFd(fcntl(channel.get(), F_DUPFD_CLOEXEC, 3));
  return Error{EREMOTE,
               interface + ": is in another network namespace than the daemon, which takes a keeper started there"};
}

}  // namespace unetmap::daemon
