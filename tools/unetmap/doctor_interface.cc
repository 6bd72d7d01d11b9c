// SPDX-License-Identifier: BSD-2-Clause
#include <fmt/core.h>
#include <fmt/format.h>
#include <net/if.h>

#include <string_view>

#include "doctor_checks.hh"
#include "wire/driven_devices.hh"

namespace unetmap::cli {
namespace {

constexpr uint32_t kLongestXdpFrame = 3498;  // what fits a page beside XDP's own room, where frames have one buffer

// Offloads that let the stack and programs on the interface see frames that were never on the wire. By pattern: kernels
// add to them.
bool is_offload(std::string_view name) {
  return name.starts_with("rx-gro") || name == "rx-lro" || name == "rx-udp-gro-forwarding" ||
         name.starts_with("tx-checksum-") || name.find("-vlan-hw-") != name.npos ||
         name.find("-vlan-stag-hw-") != name.npos ||
         (name.starts_with("tx-") && (name.ends_with("-segmentation") || name == "tx-gso-list"));
}

bool is_device(const InterfaceFacts& f) { return f.link.kind.empty() && !(f.link.flags & IFF_LOOPBACK); }

Check link(const InterfaceFacts& f) {
  Check out{f.name, "link"};
  if (!(f.link.flags & IFF_UP)) {
    out.state = State::kFail;
    out.found = "down";
    out.meaning = "no frame passes";
    out.remedy = fmt::format("ip link set dev {} up", f.name);
    return out;
  }
  if (f.carrier && !*f.carrier) {
    out.state = State::kFail;
    out.found = "up, but without carrier";
    out.meaning = f.link.kind == "tun"    ? "no program has this tap open, so what is sent to it is lost"
                  : f.link.kind == "veth" ? "the other end is down"
                                          : "no cable, or the two ends do not agree on a speed";
    out.remedy =
        f.link.kind == "tun" ? fmt::format("start the program behind it, such as l2open -t {} l2recv", f.name)
        : f.link.kind == "veth"
            ? "bring the other end up: ip link set dev PEER up"
            : fmt::format("ethtool {0}; force both sides: ethtool -s {0} speed N duplex full autoneg off", f.name);
    return out;
  }
  out.found = "up";
  if (f.settings && f.settings->speed_mbps) out.found += fmt::format(", {} Mb/s", *f.settings->speed_mbps);
  if (f.settings && f.settings->full_duplex) out.found += *f.settings->full_duplex ? ", full duplex" : ", half duplex";
  if (f.settings && f.settings->full_duplex == false) {
    out.state = State::kWarn;
    out.meaning = "one side at a time sends: negotiation with the other end failed";
    out.remedy = fmt::format("ethtool -s {} autoneg on, or force speed and duplex on both sides", f.name);
  } else if (f.settings && f.settings->speed_mbps && *f.settings->speed_mbps < 1000) {
    out.state = State::kWarn;
    out.meaning = "slower than what nearly all equipment has: a bad cable, or negotiation failed";
    out.remedy = fmt::format("ethtool {}; check the cable and the other side's speed", f.name);
  }
  return out;
}

Check autonegotiation(const InterfaceFacts& f) {
  Check out{f.name, "autonegotiation"};
  if (!f.settings || !is_device(f)) {
    out.found = "none: frames pass at once";
  } else if (!f.settings->autonegotiates) {
    out.found = "off: the link is there soon after it is brought up";
  } else {
    out.found = "on: a link that was just brought up takes seconds (pkt-gen -w 4 waits for it)";
  }
  return out;
}

Check flow_control(const InterfaceFacts& f) {
  Check out{f.name, "flow-control"};
  if (!f.flow_control) {
    out.found = "none";
    return out;
  }
  const FlowControl& now = *f.flow_control;
  out.found = fmt::format("rx {}, tx {}", now.rx ? "on" : "off", now.tx ? "on" : "off");
  if (now.rx || now.tx) {
    out.state = State::kWarn;
    out.meaning = "a slow receiver holds the sender up; switch it off on both sides";
    out.remedy = fmt::format("ethtool -A {} autoneg off rx off tx off", f.name);
    out.fixes.push_back(SetFlowControl{f.name, {false, false, false}});
  }
  return out;
}

Check offloads(const InterfaceFacts& f) {
  Check out{f.name, "offloads"};
  std::vector<std::string> on, words;
  std::map<std::string, bool> off;
  for (const auto& [name, feature] : f.features) {
    if (!is_offload(name) || !feature.active || !feature.changeable) continue;
    on.push_back(name);
    words.push_back(name + " off");
    off[name] = false;
  }
  out.found = on.empty() ? "off" : fmt::format("{}", fmt::join(on, ", "));
  if (!on.empty()) {
    out.state = State::kWarn;
    out.meaning =
        "joined, unfinished or stripped frames reach raw sockets and taps; a netmap port switches this off while it is "
        "open";
    out.remedy = fmt::format("ethtool -K {} {}", f.name, fmt::join(words, " "));
    out.fixes.push_back(SetFeatures{f.name, off});
  }
  return out;
}

Check address(const InterfaceFacts& f) {
  Check out{f.name, "address"};
  if (f.link.address.empty()) {
    out.state = State::kFail;
    out.found = "no Ethernet address";
    out.meaning = "the interface does not carry Ethernet frames";
    out.remedy = "take another interface";
    return out;
  }
  const bool promiscuous = f.link.promiscuous > 0 || (f.link.flags & IFF_PROMISC);
  out.found = f.link.address + (promiscuous ? ", promiscuous" : ", not promiscuous");
  const int first = std::stoi(f.link.address.substr(0, 2), nullptr, 16);
  if (first & 1 || f.link.address == "00:00:00:00:00:00") {
    out.state = State::kFail;
    out.meaning = "no station may have this address";
    out.remedy = fmt::format("ip link set dev {} address 02:00:00:00:00:01", f.name);
  } else if (f.permanent_address && *f.permanent_address != f.link.address) {
    out.state = State::kWarn;
    out.meaning = fmt::format("not the device's own ({}): switches and virtualisation hosts may drop its frames",
                              *f.permanent_address);
    out.remedy = fmt::format("ip link set dev {} address {}", f.name, *f.permanent_address);
  } else if (!promiscuous && is_device(f)) {
    // As it should be; but who sends to another address wonders.
    out.found += fmt::format(": only broadcast and frames to {} arrive (pkt-gen -D; or ip link set dev {} promisc on)",
                             f.link.address, f.name);
  }
  return out;
}

Check xdp(const InterfaceFacts& f) {
  Check out{f.name, "xdp"};
  if (!f.link.xdp.empty()) {
    out.state = State::kWarn;
    out.found = fmt::format("a program is attached, {}", f.link.xdp);
    out.meaning = "unless it is unetmap's own, netmap ports here must do without XDP";
    out.remedy = fmt::format("'unetmap ports' tells; else end its owner, or: ip link set dev {} xdp off", f.name);
    return out;
  }
  if (!f.xdp) {
    out.found = "the kernel does not tell what the driver can do (before Linux 6.3)";
    return out;
  }
  if (f.xdp->zero_copy) {
    out.found = "native, zero-copy";
  } else if (f.xdp->basic && f.xdp->redirect) {
    out.found = "native, with a copy";
  } else {
    out.state = State::kWarn;
    out.found = "generic only";
    out.meaning = fmt::format(
        "the driver{} has no XDP of its own: packets pass the kernel's socket buffers, several times slower",
        f.driver ? " " + *f.driver : "");
    out.remedy =
        "take an interface whose driver has XDP (ixgbe, igb, i40e, ice, mlx5, virtio_net, veth) for high rates";
    return out;
  }
  if (f.link.mtu > kLongestXdpFrame && !f.xdp->fragments) {
    out.state = State::kWarn;
    out.found += fmt::format(", MTU {}", f.link.mtu);
    out.meaning = "frames of that size do not fit one buffer, and this driver gives XDP no more: it would be refused";
    out.remedy = fmt::format("ip link set dev {} mtu 1500", f.name);
  }
  return out;
}

// Why each better way than `than` is not to be had; of all, where there is none.
std::string obstacles(const wire::WayFacts& ways, std::optional<wire::DeviceWay> than) {
  std::vector<std::string> out;
  for (wire::DeviceWay way : wire::kDeviceWays) {
    if (way == than) break;
    out.push_back(fmt::format("{}: {}", wire::way_name(way), wire::obstacle(way, ways)));
  }
  return fmt::format("{}", fmt::join(out, "; "));
}

std::string why_not_driven(const InterfaceFacts& f) {
  if (!f.pci) return "no PCI device";
  if (!wire::is_driven(f.pci->vendor, f.pci->device))
    return fmt::format("no driver of ours for {:04x}:{:04x}", f.pci->vendor, f.pci->device);
  if (!f.first_namespace) return "this is another network namespace than the one its kernel driver puts it into";
  return f.user;
}

}  // namespace

// No complaint: the other modes serve every interface.
Check check_driver_mode(const InterfaceFacts& f) {
  Check out{f.name, "driver-mode"};
  if (std::string why = why_not_driven(f); !why.empty()) {
    out.found = fmt::format("not to be had: {}", why);
    return out;
  }
  for (wire::DeviceWay way : wire::kDeviceWays) {
    if (!wire::obstacle(way, f.pci->ways).empty()) continue;
    out.found = fmt::format("to be had by root, by {}, {}: unetmapd --nic-mode driver", wire::way_name(way),
                            way == wire::DeviceWay::kSysfs ? "polled" : "with interrupts");
    if (std::string better = obstacles(f.pci->ways, way); !better.empty()) out.meaning = fmt::format("not by {}", better);
    return out;
  }
  out.found = fmt::format("not to be had: {}", obstacles(f.pci->ways, std::nullopt));
  return out;
}

namespace {

Check queues(const InterfaceFacts& f) {
  Check out{f.name, "queues"};
  const uint32_t rx = f.queues ? f.queues->rx + f.queues->combined : f.link.rx_queues;
  const uint32_t tx = f.queues ? f.queues->tx + f.queues->combined : f.link.tx_queues;
  out.found = fmt::format("{} rx, {} tx", rx, tx);
  return out;
}

}  // namespace

const char* name_of(State state) { return state == State::kOk ? "ok" : state == State::kWarn ? "warn" : "fail"; }

std::vector<Check> check_interface(const InterfaceFacts& f) {
  return {link(f), autonegotiation(f), flow_control(f), offloads(f), address(f), xdp(f), check_driver_mode(f), queues(f)};
}

}  // namespace unetmap::cli
