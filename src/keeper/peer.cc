// SPDX-License-Identifier: BSD-2-Clause
#include "keeper/peer.hh"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <optional>

#include "base/fd.hh"
#include "keeper/interface.hh"

namespace unetmap::keeper {
namespace {

// The attributes in `bytes` bytes of one message or one attribute of the kernel's.
void each_attribute(const rtattr* at, size_t bytes, const std::function<void(const rtattr&)>& see) {
  for (auto left = int(bytes); RTA_OK(at, left); at = RTA_NEXT(at, left)) see(*at);
}

std::optional<uint32_t> number(const rtattr& from) {
  uint32_t out;
  if (RTA_PAYLOAD(&from) != sizeof out) return {};
  memcpy(&out, RTA_DATA(&from), sizeof out);
  return out;
}

// Shows the attributes of a link. `name_space`: the kernel's number for another one, seen from here.
bool ask(int socket, uint32_t index, std::optional<uint32_t> name_space,
         const std::function<void(const rtattr&)>& see) {
  struct {
    nlmsghdr header;
    ifinfomsg link;
    rtattr attribute;
    uint32_t name_space;
  } request{};
  request.header.nlmsg_len = name_space ? sizeof request : NLMSG_LENGTH(sizeof request.link);
  request.header.nlmsg_type = RTM_GETLINK;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.link.ifi_index = int(index);
  request.attribute = {RTA_LENGTH(sizeof(uint32_t)), IFLA_TARGET_NETNSID};
  request.name_space = name_space.value_or(0);
  if (send(socket, &request, request.header.nlmsg_len, 0) < 0) return false;
  alignas(nlmsghdr) char answer[32768];
  ssize_t n;
  while ((n = recv(socket, answer, sizeof answer, 0)) < 0)
    if (errno != EINTR) return false;
  auto* header = reinterpret_cast<const nlmsghdr*>(answer);
  if (!NLMSG_OK(header, uint32_t(n)) || header->nlmsg_type != RTM_NEWLINK ||
      header->nlmsg_len < NLMSG_LENGTH(sizeof(ifinfomsg)))
    return false;
  auto* link = static_cast<const ifinfomsg*>(NLMSG_DATA(header));
  each_attribute(IFLA_RTA(link), IFLA_PAYLOAD(header), see);
  return true;
}

}  // namespace

uint32_t peer_program(uint32_t index) {
  UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  std::optional<uint32_t> peer, name_space, program;
  auto see_link = [&](const rtattr& attribute) {
    if (attribute.rta_type == IFLA_LINK) peer = number(attribute);
    if (attribute.rta_type == IFLA_LINK_NETNSID) name_space = number(attribute);
  };
  if (!socket || !ask(socket.get(), index, {}, see_link) || !peer || *peer == 0) return 0;
  auto see_peer = [&](const rtattr& attribute) {
    if ((attribute.rta_type & NLA_TYPE_MASK) != IFLA_XDP) return;
    bool native = false;
    std::optional<uint32_t> id;
    each_attribute(static_cast<const rtattr*>(RTA_DATA(&attribute)), RTA_PAYLOAD(&attribute), [&](const rtattr& each) {
      if (each.rta_type == IFLA_XDP_ATTACHED && RTA_PAYLOAD(&each) == 1)
        native = *static_cast<const uint8_t*>(RTA_DATA(&each)) == XDP_ATTACHED_DRV;
      if (each.rta_type == IFLA_XDP_PROG_ID) id = number(each);
    });
    if (native) program = id;
  };
  return ask(socket.get(), *peer, name_space, see_peer) ? program.value_or(0) : 0;
}

std::string peer_here(uint32_t index) {
  UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  std::optional<uint32_t> peer;
  bool elsewhere = false;
  auto see_link = [&](const rtattr& attribute) {
    if (attribute.rta_type == IFLA_LINK) peer = number(attribute);
    if (attribute.rta_type == IFLA_LINK_NETNSID) elsewhere = true;
  };
  if (!socket || driver_of(name_of(index)) != "veth" || !ask(socket.get(), index, {}, see_link)) return {};
  return peer && *peer && !elsewhere ? name_of(*peer) : "";
}

}  // namespace unetmap::keeper
