// SPDX-License-Identifier: BSD-2-Clause
#include "keeper/watch.hh"

#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <sys/socket.h>

namespace unetmap::keeper {
namespace {

int ignore(nl_msg*, void*) { return NL_OK; }

int prepare(nl_sock* socket, int protocol) {
  if (!socket) return -NLE_NOMEM;
  nl_socket_disable_seq_check(socket);
  if (int failed = nl_connect(socket, protocol)) return failed;
  return 0;
}

int listen(nl_sock* socket, int group) {
  nl_socket_modify_cb(socket, NL_CB_VALID, NL_CB_CUSTOM, ignore, nullptr);
  if (int failed = nl_socket_add_membership(socket, group)) return failed;
  return nl_socket_set_nonblocking(socket);
}

// Takes what is there. What it says is not used: the state is looked up, so that nothing lost on the way matters.
void drain(nl_sock* socket) {
  while (nl_recvmsgs_default(socket) == 0) {
  }
}

}  // namespace

Result<Watch> Watch::open() {
  Watch out;
  out.links_.reset(nl_socket_alloc());
  int failed = prepare(out.links_.get(), NETLINK_ROUTE);
  if (!failed) failed = listen(out.links_.get(), RTNLGRP_LINK);
  if (failed) return Error{EIO, std::string("netlink: ") + nl_geterror(failed)};
  out.channels_.reset(nl_socket_alloc());
  failed = prepare(out.channels_.get(), NETLINK_GENERIC);
  int group = failed ? -1 : genl_ctrl_resolve_grp(out.channels_.get(), "ethtool", "monitor");
  if (group < 0 || listen(out.channels_.get(), group)) out.channels_.reset();
  return out;
}

void Watch::follow(const Interface& interface, uint32_t queues) {
  known_ = interface;
  queues_ = queues;
}

std::vector<int> Watch::descriptors() const {
  std::vector<int> out{nl_socket_get_fd(links_.get())};
  if (channels_) out.push_back(nl_socket_get_fd(channels_.get()));
  return out;
}

std::vector<wire::KeeperEvent> Watch::read() {
  using Kind = wire::KeeperEvent::Kind;
  drain(links_.get());
  if (channels_) drain(channels_.get());
  std::vector<wire::KeeperEvent> out;
  if (!known_.index) return out;
  auto now = look_up(known_.index);
  if (!now) {
    out.push_back({Kind::kGone, known_.name, known_.name + ": removed, or moved to another network namespace"});
    known_.index = 0;
    return out;
  }
  if (now->name != known_.name)
    out.push_back({Kind::kRenamed, now->name, known_.name + ": its name is " + now->name + " now"});
  if (now->up != known_.up)
    out.push_back({now->up ? Kind::kUp : Kind::kDown, now->name,
                   now->name + (now->up ? ": up again" : ": down; ip link set " + now->name + " up")});
  uint32_t queues = queues_ ? queue_count(now->name) : 0;
  if (queues != queues_)
    out.push_back({Kind::kQueues, now->name,
                   now->name + ": " + std::to_string(queues) + " queues instead of " + std::to_string(queues_) +
                       "; close and open its port again",
                   queues});
  known_ = *now;
  queues_ = queues;
  return out;
}

}  // namespace unetmap::keeper
