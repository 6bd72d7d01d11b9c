// SPDX-License-Identifier: BSD-2-Clause
#include "l2_descriptor.hh"

#include <fmt/core.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#include <cstdlib>

#include "json_report.hh"
#include "quantities.hh"

namespace unetmap::parts {

Result<L2Descriptor> inherited_l2_descriptor(const std::string& program) {
  L2Descriptor out{kL2Descriptor};
  const std::string how = fmt::format("; run it as 'l2open -r IFNAME {0}' or 'l2open -t IFNAME {0}'", program);
  if (const char* number = getenv(kL2DescriptorVariable)) {
    auto fd = parse_whole(number, 0, 1 << 20);
    if (!fd) return Error{EINVAL, fmt::format("{}: {}{}", kL2DescriptorVariable, fd.error().text, how)};
    out.fd = int(*fd);
  }
  ifreq request{};
  int domain = 0;
  socklen_t size = sizeof domain;
  if (ioctl(out.fd, TUNGETIFF, &request) == 0) {
    out.tap = true;
    out.interface = std::string(request.ifr_name, strnlen(request.ifr_name, IFNAMSIZ));
    if (!(request.ifr_flags & IFF_TAP))
      return Error{EINVAL, fmt::format("{} is no tap but a tun{}", out.interface, how)};
    if (!(request.ifr_flags & IFF_NO_PI))
      return Error{EINVAL, fmt::format("{}: its frames have a header in front{}", out.interface, how)};
  } else if (getsockopt(out.fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_PACKET) {
    const char* name = getenv(kL2InterfaceVariable);
    out.interface = name ? name : "the socket";
  } else {
    return Error{EBADF, fmt::format("descriptor {} is neither a packet socket nor a tap{}", out.fd, how)};
  }
  return out;
}

std::string l2_report(const char* verb, const L2Count& count) {
  if (count.packets == 0) return fmt::format("{} nothing.\n", verb);
  std::string out =
      fmt::format("{} {} packets {} bytes in {:.3f} seconds\n", verb, count.packets, count.bytes, count.seconds());
  // Between the first and the last there is one interval less than packets.
  if (count.packets > 1 && count.seconds() > 0) {
    out += fmt::format(
        "Rate: {}pps {}bps\n", scaled(double(count.packets - 1) / count.seconds()),
        scaled(8 * double(count.bytes) * double(count.packets - 1) / double(count.packets) / count.seconds()));
  }
  return out;
}

void print_l2_json(const std::string& program, const L2Count& count, const char* lost_name, uint64_t lost) {
  const bool rated = count.packets > 1 && count.seconds() > 0;
  print_json(program, {{"packets", count.packets},
                       {"bytes", count.bytes},
                       {"seconds", count.seconds()},
                       {"pps", rated ? double(count.packets - 1) / count.seconds() : 0.0},
                       {lost_name, lost}});
}

uint64_t monotonic_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return uint64_t(t.tv_sec) * 1'000'000'000 + uint64_t(t.tv_nsec);
}

}  // namespace unetmap::parts
