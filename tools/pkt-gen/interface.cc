// SPDX-License-Identifier: BSD-2-Clause
#include "interface.hh"

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <string_view>

#include "base/fd.hh"

namespace unetmap::pktgen {

std::string interface_of(const std::string& device) {
  std::string_view name = device;
  if (name.starts_with("netmap:")) name.remove_prefix(7);
  return std::string(name.substr(0, name.find_first_of("^*-@/{}")));
}

MacRange own_mac(const Options& options) {
  std::string name = interface_of(options.device);
  ifreq request{};
  if (name.empty() || name.size() >= IFNAMSIZ || options.backend == Backend::null) return {};
  memcpy(request.ifr_name, name.data(), name.size());
  UniqueFd control(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!control || ioctl(control.get(), SIOCGIFHWADDR, &request) < 0) return {};
  uint64_t mac = 0;
  for (int i = 0; i < 6; i++) mac = mac << 8 | uint8_t(request.ifr_hwaddr.sa_data[i]);
  // We are what is plugged into a tap, not the host's end of it, whose address the host keeps for itself.
  if (options.backend == Backend::tap) mac = (mac ^ 1) | uint64_t{0x02} << 40;
  return {mac, mac};
}

bool link_is_up(const Options& options) {
  std::ifstream file("/sys/class/net/" + interface_of(options.device) + "/operstate");
  std::string state;
  return !(file >> state) || state == "up" || state == "unknown";
}

}  // namespace unetmap::pktgen
