// SPDX-License-Identifier: BSD-2-Clause
#include "parts/system.hh"

#include <fcntl.h>
#include <fmt/core.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <net/if_dl.h>
#include <net/if_media.h>
#include <pthread.h>
#include <pthread_np.h>
#include <sys/cpuset.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstring>

namespace unetmap::parts {

std::optional<EtherAddress> ether_address(const std::string& interface) {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) < 0) return std::nullopt;
  std::optional<EtherAddress> out;
  for (const ifaddrs* each = list; each && !out; each = each->ifa_next) {
    if (interface != each->ifa_name || !each->ifa_addr || each->ifa_addr->sa_family != AF_LINK) continue;
    const auto* link = reinterpret_cast<const sockaddr_dl*>(each->ifa_addr);
    if (link->sdl_alen != std::tuple_size_v<EtherAddress>) continue;
    out.emplace();
    memcpy(out->data(), LLADDR(link), out->size());
  }
  freeifaddrs(list);
  return out;
}

bool link_is_up(const std::string& interface) {
  ifmediareq request{};
  if (interface.empty() || interface.size() >= sizeof request.ifm_name) return true;
  interface.copy(request.ifm_name, interface.size());
  const UniqueFd control(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!control || ioctl(control.get(), SIOCGIFMEDIA, &request) < 0) return true;
  return !(request.ifm_status & IFM_AVALID) || request.ifm_status & IFM_ACTIVE;
}

int run_on(const uint16_t* processors, int count) {
  cpuset_t set;
  CPU_ZERO(&set);
  for (int i = 0; i < count; i++) CPU_SET(processors[i], &set);
  return pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

void name_thread(const std::string& name) { pthread_set_name_np(pthread_self(), name.c_str()); }

Result<UniqueFd> open_tap(const std::string& name) {
  UniqueFd fd(open(("/dev/" + name).c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (fd) return fd;
  const int code = errno;
  const char* remedy = code == EPERM || code == EACCES ? "run as root"
                       : code == EBUSY                 ? "another program holds this tap; end it or use another tap"
                                                       : "run 'kldload if_tuntap', and take a name like tap0";
  return Error{code, fmt::format("unable to open tap {}: {}; {}", name, strerror(code), remedy)};
}

}  // namespace unetmap::parts
