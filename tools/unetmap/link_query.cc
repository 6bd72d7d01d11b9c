// SPDX-License-Identifier: BSD-2-Clause
#include "link_query.hh"

#include <fmt/core.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>

#include <array>
#include <memory>

namespace unetmap::cli {
namespace {

// Of the generic netlink family "netdev", whose header Debian 12 does not have.
constexpr const char* kNetdevFamily = "netdev";
constexpr uint8_t kNetdevGet = 1;
constexpr int kNetdevIndex = 1, kNetdevXdpFeatures = 3, kNetdevLast = 8;
constexpr uint64_t kXdpBasic = 1, kXdpRedirect = 2, kXdpZeroCopy = 8, kXdpFragments = 32;

struct FreeSocket {
  void operator()(nl_sock* socket) const { nl_socket_free(socket); }
};
using Socket = std::unique_ptr<nl_sock, FreeSocket>;
struct FreeMessage {
  void operator()(nl_msg* message) const { nlmsg_free(message); }
};
using Message = std::unique_ptr<nl_msg, FreeMessage>;

Socket connected(int protocol) {
  Socket socket(nl_socket_alloc());
  if (!socket || nl_connect(socket.get(), protocol) < 0) return nullptr;
  return socket;
}

// Sends, and gives each answer to `take`; 0 or libnl's negative error.
int ask(nl_sock* socket, nl_msg* message, nl_recvmsg_msg_cb_t take, void* out) {
  nl_socket_modify_cb(socket, NL_CB_VALID, NL_CB_CUSTOM, take, out);
  if (int sent = nl_send_auto(socket, message); sent < 0) return sent;
  // The answer, then its acknowledgement.
  return nl_wait_for_ack(socket);
}

std::string xdp_mode(nlattr* nested) {
  std::array<nlattr*, IFLA_XDP_MAX + 1> attribute{};
  if (nla_parse_nested(attribute.data(), IFLA_XDP_MAX, nested, nullptr) < 0 || !attribute[IFLA_XDP_ATTACHED]) return "";
  switch (nla_get_u8(attribute[IFLA_XDP_ATTACHED])) {
    case XDP_ATTACHED_NONE:
      return "";
    case XDP_ATTACHED_SKB:
      return "generic";
    case XDP_ATTACHED_HW:
      return "offloaded";
    default:
      return "native";
  }
}

std::string kind_of(nlattr* nested) {
  std::array<nlattr*, IFLA_INFO_MAX + 1> attribute{};
  if (nla_parse_nested(attribute.data(), IFLA_INFO_MAX, nested, nullptr) < 0 || !attribute[IFLA_INFO_KIND]) return "";
  return nla_get_string(attribute[IFLA_INFO_KIND]);
}

std::string address_of(nlattr* attribute) {
  if (nla_len(attribute) != 6) return "";
  const auto* b = static_cast<const uint8_t*>(nla_data(attribute));
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", b[0], b[1], b[2], b[3], b[4], b[5]);
}

int take_link(nl_msg* message, void* to) {
  auto& out = *static_cast<LinkFacts*>(to);
  std::array<nlattr*, IFLA_MAX + 1> attribute{};
  if (nlmsg_parse(nlmsg_hdr(message), sizeof(ifinfomsg), attribute.data(), IFLA_MAX, nullptr) < 0) return NL_SKIP;
  const auto* info = static_cast<const ifinfomsg*>(nlmsg_data(nlmsg_hdr(message)));
  auto number = [&](int which) { return attribute[size_t(which)] ? nla_get_u32(attribute[size_t(which)]) : 0; };
  out.index = uint32_t(info->ifi_index);
  out.flags = info->ifi_flags;
  out.promiscuous = number(IFLA_PROMISCUITY);
  out.mtu = number(IFLA_MTU);
  out.rx_queues = number(IFLA_NUM_RX_QUEUES);
  out.tx_queues = number(IFLA_NUM_TX_QUEUES);
  if (attribute[IFLA_LINKINFO]) out.kind = kind_of(attribute[IFLA_LINKINFO]);
  if (attribute[IFLA_ADDRESS]) out.address = address_of(attribute[IFLA_ADDRESS]);
  if (attribute[IFLA_XDP]) out.xdp = xdp_mode(attribute[IFLA_XDP]);
  if (char name[IF_NAMESIZE]; attribute[IFLA_MASTER] && if_indextoname(number(IFLA_MASTER), name)) out.master = name;
  return NL_OK;
}

int take_xdp_features(nl_msg* message, void* to) {
  auto& out = *static_cast<std::optional<XdpFeatures>*>(to);
  std::array<nlattr*, kNetdevLast + 1> attribute{};
  if (genlmsg_parse(nlmsg_hdr(message), 0, attribute.data(), kNetdevLast, nullptr) < 0) return NL_SKIP;
  if (!attribute[kNetdevXdpFeatures]) return NL_SKIP;
  const uint64_t bits = nla_get_u64(attribute[kNetdevXdpFeatures]);
  out = XdpFeatures{(bits & kXdpBasic) != 0, (bits & kXdpRedirect) != 0, (bits & kXdpZeroCopy) != 0,
                    (bits & kXdpFragments) != 0};
  return NL_OK;
}

}  // namespace

Result<LinkFacts> query_link(const std::string& interface) {
  Socket socket = connected(NETLINK_ROUTE);
  Message message(nlmsg_alloc_simple(RTM_GETLINK, NLM_F_REQUEST | NLM_F_ACK));
  if (!socket || !message) return Error{ENOMEM, "netlink: no socket"};
  ifinfomsg info{};
  nlmsg_append(message.get(), &info, sizeof info, NLMSG_ALIGNTO);
  nla_put_string(message.get(), IFLA_IFNAME, interface.c_str());
  LinkFacts out;
  if (int error = ask(socket.get(), message.get(), take_link, &out); error < 0) {
    return Error{ENODEV, fmt::format("{}: {}; 'ip link' lists the interfaces", interface, nl_geterror(error))};
  }
  return out;
}

std::optional<XdpFeatures> query_xdp_features(uint32_t index) {
  Socket socket = connected(NETLINK_GENERIC);
  if (!socket) return std::nullopt;
  const int family = genl_ctrl_resolve(socket.get(), kNetdevFamily);
  Message message(nlmsg_alloc());
  if (family < 0 || !message) return std::nullopt;
  genlmsg_put(message.get(), NL_AUTO_PORT, NL_AUTO_SEQ, family, 0, NLM_F_REQUEST | NLM_F_ACK, kNetdevGet, 1);
  nla_put_u32(message.get(), kNetdevIndex, index);
  std::optional<XdpFeatures> out;
  if (ask(socket.get(), message.get(), take_xdp_features, &out) < 0) return std::nullopt;
  return out;
}

}  // namespace unetmap::cli
