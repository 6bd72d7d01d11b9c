// SPDX-License-Identifier: BSD-2-Clause
#include "open.hh"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/output.hh"

namespace unetmap::l2 {
namespace {

constexpr int kQueueBytes = 16 << 20;  // frames that wait for a reader which does not run just now
constexpr int kLongestWait_ms = 2000, kWaitStep_ms = 5;

Result<ifreq> request_for(const std::string& interface) {
  ifreq request{};
  if (interface.size() >= sizeof request.ifr_name || interface.find('/') != std::string::npos) {
    return Error{EINVAL, fmt::format("'{}' is no name of an interface: it has up to {} characters and no '/'",
                                     interface, sizeof request.ifr_name - 1)};
  }
  interface.copy(request.ifr_name, interface.size());
  return request;
}

Error refused(const std::string& interface, const char* action, int code) {
  const char* remedy = "";
  if (code == EPERM || code == EACCES)
    remedy = "; run it as root, or with the capabilities CAP_NET_RAW and CAP_NET_ADMIN";
  if (code == ENODEV || code == ENXIO) remedy = "; 'ip link' lists the interfaces";
  return Error{code, fmt::format("{}: cannot {}: {}{}", interface, action, strerror(code), remedy)};
}

Result<short> flags_of(int socket, const std::string& interface) {
  auto request = request_for(interface);
  if (!request) return request.error();
  if (ioctl(socket, SIOCGIFFLAGS, &*request) < 0) return refused(interface, "read its flags", errno);
  return request->ifr_flags;
}

void warn_when_down(short flags, const std::string& interface) {
  if (!(flags & IFF_UP)) print_err("l2open: {0} is down: no frame passes before 'ip link set {0} up'\n", interface);
}

// The kernel tells bridges and routes of a new carrier a moment later: frames that come before that are dropped. Not
// for ever, as nothing is lost but those.
void await_running(int socket, const std::string& interface) {
  auto request = request_for(interface);
  for (int i = 0; request && i < kLongestWait_ms; i += kWaitStep_ms) {
    if (ioctl(socket, SIOCGIFFLAGS, &*request) < 0 || !(request->ifr_flags & IFF_UP)) return;
    if (request->ifr_flags & IFF_RUNNING) break;
    poll(nullptr, 0, kWaitStep_ms);
  }
  // The flag comes first, the news to others after it, both under a lock that this question takes, too.
  ethtool_drvinfo question{};
  question.cmd = ETHTOOL_GDRVINFO;
  request->ifr_data = reinterpret_cast<char*>(&question);
  ioctl(socket, SIOCETHTOOL, &*request);
}

Result<void> bring_up(const std::string& interface) {
  UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  auto request = request_for(interface);
  if (!request) return request.error();
  if (ioctl(socket.get(), SIOCGIFFLAGS, &*request) < 0) return refused(interface, "read its flags", errno);
  request->ifr_flags |= IFF_UP;
  if (ioctl(socket.get(), SIOCSIFFLAGS, &*request) < 0) return refused(interface, "bring it up", errno);
  return {};
}

}  // namespace

Result<UniqueFd> open_raw(const std::string& interface, const RawOptions& options) {
  if (auto request = request_for(interface); !request) return request.error();
  // Protocol 0: nothing arrives before the socket is bound.
  UniqueFd socket(::socket(AF_PACKET, SOCK_RAW, 0));
  if (!socket) return refused(interface, "open a raw socket", errno);
  const unsigned index = if_nametoindex(interface.c_str());
  if (index == 0) return refused(interface, "find it", errno);
  auto flags = flags_of(socket.get(), interface);
  if (!flags) return flags.error();
  const int on = 1;
  // Tags of VLANs come beside the frames.
  setsockopt(socket.get(), SOL_PACKET, PACKET_AUXDATA, &on, sizeof on);
  if (!options.outgoing && setsockopt(socket.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) < 0) {
    return refused(interface, "leave out what this machine sends", errno);
  }
  // More than net.core.rmem_max takes CAP_NET_ADMIN; what is granted without it is enough to work.
  if (setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kQueueBytes, sizeof kQueueBytes) < 0) {
    setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &kQueueBytes, sizeof kQueueBytes);
  }
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = int(index);
  if (bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) < 0) {
    return refused(interface, "bind a raw socket", errno);
  }
  if (options.promiscuous) {
    packet_mreq membership{int(index), PACKET_MR_PROMISC, 0, {}};
    if (setsockopt(socket.get(), SOL_PACKET, PACKET_ADD_MEMBERSHIP, &membership, sizeof membership) < 0) {
      return refused(interface, "make it promiscuous", errno);
    }
  }
  warn_when_down(*flags, interface);
  return socket;
}

Result<UniqueFd> open_tap(const std::string& interface) {
  auto request = request_for(interface);
  if (!request) return request.error();
  if (interface.find('%') != std::string::npos) {
    return Error{EINVAL, fmt::format("'{}': '%' would make the kernel choose a name; give the whole name", interface)};
  }
  const bool existed = if_nametoindex(interface.c_str()) != 0;
  UniqueFd tap(open("/dev/net/tun", O_RDWR));
  if (!tap) return Error::from_errno(errno, "/dev/net/tun (the tun module)");
  // A tap made for several queues takes only those that say so.
  request->ifr_flags = IFF_TAP | IFF_NO_PI;
  int result = ioctl(tap.get(), TUNSETIFF, &*request);
  if (result < 0 && errno == EINVAL && existed) {
    request->ifr_flags = IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE;
    result = ioctl(tap.get(), TUNSETIFF, &*request);
  }
  if (result < 0) {
    const int code = errno;
    if (code == EBUSY) return Error{code, fmt::format("{}: another program has this tap; end it first", interface)};
    if (code == EINVAL && existed)
      return Error{code, fmt::format("{}: is an interface, but no tap; use -r", interface)};
    return refused(interface, "use it as a tap", code);
  }
  // A persistent tap keeps the offloads of who had it before: large frames, and ones without checksums.
  if (ioctl(tap.get(), TUNSETOFFLOAD, 0) < 0) return refused(interface, "switch off its offloads", errno);
  UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (existed) {
    auto flags = flags_of(socket.get(), interface);
    if (!flags) return flags.error();
    warn_when_down(*flags, interface);
  } else if (auto up = bring_up(interface); !up) {
    return up.error();
  }
  await_running(socket.get(), interface);
  return tap;
}

}  // namespace unetmap::l2
