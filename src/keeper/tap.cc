// SPDX-License-Identifier: BSD-2-Clause
#include "keeper/tap.hh"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netlink/route/link/inet6.h>
#include <sys/ioctl.h>

#include <cstring>

#include "keeper/netlink.hh"

namespace unetmap::keeper {
namespace {

// UDP segmentation, Linux 6.2; not in Debian 12's headers.
constexpr unsigned kTunUso4 = 0x20, kTunUso6 = 0x40;
constexpr unsigned kQueueFrames = 1000;
constexpr int kVnetHeaderBytes = 12;

Result<void> set_up_hidden(const Interface& tap, const TapSettings& settings) {
  auto socket = route_socket();
  if (!socket) return socket.error();
  rtnl_link* found = nullptr;
  if (int failed = rtnl_link_get_kernel(socket->get(), int(tap.index), nullptr, &found))
    return netlink_error(failed, tap.name);
  Link original(found), change(rtnl_link_alloc());
  rtnl_link_set_mtu(change.get(), settings.mtu);
  rtnl_link_set_txqlen(change.get(), kQueueFrames);
  rtnl_link_set_ifalias(change.get(), settings.purpose.c_str());
  rtnl_link_set_flags(change.get(), IFF_NOARP);
  // Before it is up: no link-local address, and so no router solicitations. Kernels without IPv6 refuse: none needed.
  Link quiet(rtnl_link_alloc());
  if (rtnl_link_inet6_set_addr_gen_mode(quiet.get(), IN6_ADDR_GEN_MODE_NONE) == 0)
    (void)rtnl_link_change(socket->get(), original.get(), quiet.get(), 0);
  if (int failed = rtnl_link_change(socket->get(), original.get(), change.get(), 0))
    return netlink_error(failed, tap.name);
  Link up(rtnl_link_alloc());
  rtnl_link_set_flags(up.get(), IFF_UP);
  if (int failed = rtnl_link_change(socket->get(), original.get(), up.get(), 0)) return netlink_error(failed, tap.name);
  return {};
}

Error cannot_open() {
  int code = errno;
  Error out = Error::from_errno(code, "tap: /dev/net/tun");
  if (code == ENOENT || code == ENODEV)
    out.text += "; load the module: modprobe tun. In a container: --device /dev/net/tun";
  return out;
}

}  // namespace

Result<Tap> make_tap(const TapSettings& settings) {
  Tap out{UniqueFd(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC)), {}};
  if (!out.fd) return cannot_open();
  ifreq request{};
  settings.name.copy(request.ifr_name, sizeof request.ifr_name - 1);
  // TUN_EXCL: never somebody's persistent tap of that name.
  request.ifr_flags = short(IFF_TAP | IFF_NO_PI | IFF_TUN_EXCL | (settings.vnet_hdr ? IFF_VNET_HDR : 0));
  if (ioctl(out.fd.get(), TUNSETIFF, &request) < 0) {
    int code = errno;
    if (code == EBUSY)
      return Error{EEXIST, "tap " + settings.name + ": there is an interface of this name; choose another"};
    Error error = Error::from_errno(code, "tap " + settings.name);
    if (code == EPERM) error.text += "; it takes CAP_NET_ADMIN in this network namespace";
    return error;
  }
  std::string name = request.ifr_name;
  if (settings.vnet_hdr) {
    int bytes = kVnetHeaderBytes;
    if (ioctl(out.fd.get(), TUNSETVNETHDRSZ, &bytes) < 0) return Error::from_errno(errno, "tap " + name + ": header");
    unsigned offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
    if (ioctl(out.fd.get(), TUNSETOFFLOAD, offloads | kTunUso4 | kTunUso6) < 0 &&
        ioctl(out.fd.get(), TUNSETOFFLOAD, offloads) < 0)
      return Error::from_errno(errno, "tap " + name + ": offloads");
  }
  if (settings.mac) {
    memcpy(request.ifr_hwaddr.sa_data, settings.mac->data(), settings.mac->size());
    request.ifr_hwaddr.sa_family = 1;  // ARPHRD_ETHER
    if (ioctl(out.fd.get(), SIOCSIFHWADDR, &request) < 0)
      return Error::from_errno(errno, "tap " + name + ": address " + wire::mac_text(*settings.mac));
  }
  auto interface = look_up(name);
  if (!interface) return interface.error();
  out.interface = *interface;
  if (settings.hidden)
    if (auto done = set_up_hidden(out.interface, settings); !done) return done.error();
  return out;
}

}  // namespace unetmap::keeper
