// SPDX-License-Identifier: BSD-2-Clause
// Addresses and routes are kept as the kernel's own messages, and sent back with another interface in them: so nothing
// that this program does not know of is lost.
#include "keeper/link_state.hh"

#include <fmt/format.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/msg.h>
#include <sys/ioctl.h>

#include <cstring>

#include "keeper/netlink.hh"

namespace unetmap::keeper {
namespace {

std::string to_hex(const nlmsghdr* message) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(message);
  std::string out;
  for (uint32_t i = 0; i < message->nlmsg_len; i++) out += fmt::format("{:02x}", bytes[i]);
  return out;
}

std::vector<uint8_t> from_hex(const std::string& text) {
  std::vector<uint8_t> out;
  for (size_t i = 0; i + 1 < text.size(); i += 2)
    out.push_back(uint8_t(strtoul(text.substr(i, 2).c_str(), nullptr, 16)));
  return out;
}

// A route's output interface, where it has but one; 0 where it has none or several.
uint32_t* output_of(nlmsghdr* message) {
  auto* route = static_cast<rtmsg*>(NLMSG_DATA(message));
  int left = int(message->nlmsg_len) - int(NLMSG_SPACE(sizeof *route));
  for (rtattr* at = RTM_RTA(route); RTA_OK(at, left); at = RTA_NEXT(at, left))
    if (at->rta_type == RTA_OIF && RTA_PAYLOAD(at) == sizeof(uint32_t)) return static_cast<uint32_t*>(RTA_DATA(at));
  return nullptr;
}

struct Collected {
  uint32_t index;
  std::vector<std::string>* out;
};

bool belongs(nlmsghdr* message, uint32_t index) {
  if (message->nlmsg_type == RTM_NEWADDR) {
    if (message->nlmsg_len < NLMSG_SPACE(sizeof(ifaddrmsg))) return false;
    return static_cast<ifaddrmsg*>(NLMSG_DATA(message))->ifa_index == index;
  }
  if (message->nlmsg_type != RTM_NEWROUTE || message->nlmsg_len < NLMSG_SPACE(sizeof(rtmsg))) return false;
  // The kernel makes its own again, with the addresses.
  const auto* route = static_cast<rtmsg*>(NLMSG_DATA(message));
  if (route->rtm_protocol == RTPROT_KERNEL || (route->rtm_flags & RTM_F_CLONED)) return false;
  const uint32_t* output = output_of(message);
  return output && *output == index;
}

int collect_one(nl_msg* message, void* argument) {
  auto* wanted = static_cast<Collected*>(argument);
  if (belongs(nlmsg_hdr(message), wanted->index)) wanted->out->push_back(to_hex(nlmsg_hdr(message)));
  return NL_OK;
}

// What the kernel tells while others change it may lack something, or have it twice; then it says so, and is asked
// again.
constexpr int kMostTries = 100;

Result<void> collect_all(int type, unsigned char family, uint32_t index, std::vector<std::string>& out) {
  const size_t before = out.size();
  int failed = -NLE_DUMP_INTR;
  for (int i = 0; i < kMostTries && failed == -NLE_DUMP_INTR; i++) {
    out.resize(before);
    auto socket = route_socket();
    if (!socket) return socket.error();
    Collected wanted{index, &out};
    nl_socket_modify_cb(socket->get(), NL_CB_VALID, NL_CB_CUSTOM, collect_one, &wanted);
    // Of one size with the header of either kind.
    rtmsg head{};
    head.rtm_family = family;
    failed = nl_send_simple(socket->get(), type, NLM_F_DUMP, &head, sizeof head);
    if (failed >= 0) failed = nl_recvmsgs_default(socket->get());
  }
  if (failed < 0) return Error{EIO, fmt::format("netlink: {}", nl_geterror(failed))};
  return {};
}

// Sends one again, about another interface.
int replay(nl_sock* socket, const std::string& text, uint32_t index) {
  std::vector<uint8_t> bytes = from_hex(text);
  auto* message = reinterpret_cast<nlmsghdr*>(bytes.data());
  if (bytes.size() < sizeof *message || message->nlmsg_len != bytes.size()) return -NLE_MSG_TOOSHORT;
  message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
  message->nlmsg_seq = message->nlmsg_pid = 0;
  if (message->nlmsg_type == RTM_NEWADDR) {
    static_cast<ifaddrmsg*>(NLMSG_DATA(message))->ifa_index = index;
  } else if (uint32_t* output = output_of(message)) {
    *output = index;
    // What the kernel found of the link then (no carrier and the like) is not for us to say.
    static_cast<rtmsg*>(NLMSG_DATA(message))->rtm_flags &= RTNH_F_ONLINK;
  }
  std::unique_ptr<nl_msg, void (*)(nl_msg*)> copy(nlmsg_convert(message), nlmsg_free);
  int failed = copy ? nl_send_auto(socket, copy.get()) : -NLE_NOMEM;
  return failed < 0 ? failed : nl_wait_for_ack(socket);
}

Result<void> change_link(const std::string& name, unsigned long request, ifreq value, const char* what) {
  auto socket = control_socket();
  if (!socket) return socket.error();
  name.copy(value.ifr_name, sizeof value.ifr_name - 1);
  if (ioctl(socket->get(), request, &value) < 0) return Error::from_errno(errno, fmt::format("{}: {}", name, what));
  return {};
}

Result<uint32_t> flags_of(const std::string& name) {
  auto socket = control_socket();
  if (!socket) return socket.error();
  ifreq request{};
  name.copy(request.ifr_name, sizeof request.ifr_name - 1);
  if (ioctl(socket->get(), SIOCGIFFLAGS, &request) < 0) return Error::from_errno(errno, name);
  return uint32_t(uint16_t(request.ifr_flags));
}

Result<void> set_flags(const std::string& name, uint32_t flags) {
  ifreq value{};
  value.ifr_flags = short(flags);
  return change_link(name, SIOCSIFFLAGS, value, "flags");
}

}  // namespace

Result<wire::LinkState> link_state(const Interface& interface) {
  wire::LinkState out{.interface = interface.name, .mac = interface.mac, .mtu = interface.mtu};
  auto flags = flags_of(interface.name);
  if (!flags) return flags.error();
  out.up = *flags & IFF_UP;
  out.promiscuous = *flags & IFF_PROMISC;
  if (auto done = collect_all(RTM_GETADDR, AF_UNSPEC, interface.index, out.messages); !done) return done.error();
  for (unsigned char family : {AF_INET, AF_INET6})
    if (auto done = collect_all(RTM_GETROUTE, family, interface.index, out.messages); !done) return done.error();
  size_t bytes = 0;
  for (const std::string& message : out.messages) bytes += message.size();
  if (out.messages.size() > wire::kMaxLinkMessages || bytes > wire::kMaxLinkBytes)
    return Error{E2BIG, fmt::format("{}: has more addresses and routes than can be kept for it ({})", interface.name,
                                    out.messages.size())};
  return out;
}

Result<void> give_link_state(const std::string& name, const wire::LinkState& state) {
  std::string now = name;
  if (now != state.interface) {
    ifreq value{};
    state.interface.copy(value.ifr_newname, sizeof value.ifr_newname - 1);
    // Whoever gave it another name may be at it still.
    (void)set_flags(now, 0).has_value();
    if (auto done = change_link(now, SIOCSIFNAME, value, "its name"); !done) return done;
    now = state.interface;
  }
  auto found = look_up(now);
  if (!found) return found.error();
  if (found->mac != state.mac) {
    ifreq value{};
    value.ifr_hwaddr.sa_family = 1;  // ARPHRD_ETHER
    memcpy(value.ifr_hwaddr.sa_data, state.mac.data(), state.mac.size());
    if (auto done = change_link(now, SIOCSIFHWADDR, value, "its address"); !done) return done;
  }
  if (found->mtu != state.mtu) {
    ifreq value{};
    value.ifr_mtu = int(state.mtu);
    if (auto done = change_link(now, SIOCSIFMTU, value, "its MTU"); !done) return done;
  }
  auto flags = flags_of(now);
  if (!flags) return flags.error();
  if (state.up || state.promiscuous)
    if (auto done = set_flags(now, *flags | (state.up ? IFF_UP : 0) | (state.promiscuous ? IFF_PROMISC : 0)); !done)
      return done;
  auto socket = route_socket();
  if (!socket) return socket.error();
  uint32_t lost = 0;
  const char* why = "";
  for (const std::string& message : state.messages)
    if (int failed = replay(socket->get(), message, found->index); failed < 0 && failed != -NLE_EXIST) {
      lost++;
      why = nl_geterror(failed);
    }
  if (lost)
    return Error{
        EIO, fmt::format("{}: {} of its {} addresses and routes could not be set again: {}; see ip address, ip route",
                         now, lost, state.messages.size(), why)};
  return {};
}

void delete_link(uint32_t index) {
  auto socket = route_socket();
  if (!socket) return;
  ifinfomsg head{};
  head.ifi_index = int(index);
  if (nl_send_simple(socket->get(), RTM_DELLINK, NLM_F_ACK, &head, sizeof head) >= 0)
    (void)nl_wait_for_ack(socket->get());
}

}  // namespace unetmap::keeper
