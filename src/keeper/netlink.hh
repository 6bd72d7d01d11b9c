// SPDX-License-Identifier: BSD-2-Clause
// Owners of libnl's objects.
#pragma once

#include <netlink/netlink.h>
#include <netlink/route/link.h>

#include <cerrno>
#include <memory>
#include <string>

#include "base/result.hh"

namespace unetmap::keeper {

template <class T, void (*destroy)(T*)>
struct Destroy {
  void operator()(T* object) const { destroy(object); }
};
using NetlinkSocket = std::unique_ptr<nl_sock, Destroy<nl_sock, nl_socket_free>>;
using Link = std::unique_ptr<rtnl_link, Destroy<rtnl_link, rtnl_link_put>>;

inline Error netlink_error(int code, const std::string& what) {
  return {code == -NLE_PERM ? EPERM : EIO, what + ": " + nl_geterror(code)};
}

// Asks about links.
inline Result<NetlinkSocket> route_socket() {
  NetlinkSocket out(nl_socket_alloc());
  if (int failed = out ? nl_connect(out.get(), NETLINK_ROUTE) : -NLE_NOMEM) return netlink_error(failed, "netlink");
  return out;
}

}  // namespace unetmap::keeper
