// SPDX-License-Identifier: BSD-2-Clause
#include "parts/system.hh"

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <fstream>

namespace unetmap::parts {

std::optional<EtherAddress> ether_address(const std::string& interface) {
  ifreq request{};
  if (interface.empty() || interface.size() >= IFNAMSIZ) return std::nullopt;
  interface.copy(request.ifr_name, interface.size());
  const UniqueFd control(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!control || ioctl(control.get(), SIOCGIFHWADDR, &request) < 0) return std::nullopt;
  EtherAddress out;
  memcpy(out.data(), request.ifr_hwaddr.sa_data, out.size());
  return out;
}

bool link_is_up(const std::string& interface) {
  std::ifstream file("/sys/class/net/" + interface + "/operstate");
  std::string state;
  return !(file >> state) || state == "up" || state == "unknown";
}

int run_on(const uint16_t* processors, int count) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int i = 0; i < count; i++) CPU_SET(processors[i], &set);
  return pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

void name_thread(const std::string& name) { pthread_setname_np(pthread_self(), name.c_str()); }

Result<UniqueFd> open_tap(const std::string& name) {
  auto failed = [&](int code, const char* what) {
    const char* remedy = code == EPERM || code == EACCES ? "run as root or with CAP_NET_ADMIN"
                         : code == EBUSY                 ? "another program holds this tap; end it or use another tap"
                         : code == ENOENT                ? "the kernel has no tun driver; run 'modprobe tun'"
                                                         : "check that the name is that of a tap device";
    return Error{code, fmt::format("unable to open tap {}: {}: {}; {}", name, what, strerror(code), remedy)};
  };
  if (name.size() >= IFNAMSIZ) return failed(ENAMETOOLONG, "its name");
  UniqueFd fd(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fd) return failed(errno, "/dev/net/tun");
  ifreq request{};
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  std::copy(name.begin(), name.end(), request.ifr_name);
  if (ioctl(fd.get(), TUNSETIFF, &request) < 0) return failed(errno, "TUNSETIFF");
  // A persistent tap keeps the offloads of who had it before.
  if (ioctl(fd.get(), TUNSETOFFLOAD, 0) < 0) return failed(errno, "TUNSETOFFLOAD");
  return fd;
}

}  // namespace unetmap::parts
