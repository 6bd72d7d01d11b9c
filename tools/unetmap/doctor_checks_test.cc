// SPDX-License-Identifier: BSD-2-Clause
#include "doctor_checks.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <net/if.h>

#include <algorithm>

#include "doctor.hh"

namespace unetmap::cli {
namespace {

using testing::HasSubstr;

// A device with nothing to complain about.
InterfaceFacts good_interface() {
  InterfaceFacts f{"eth0"};
  f.link = {.index = 2,
            .flags = IFF_UP | IFF_RUNNING,
            .mtu = 1500,
            .rx_queues = 4,
            .tx_queues = 4,
            .address = "02:00:00:00:00:01"};
  f.carrier = true;
  f.settings = LinkSettings{10000, true, true};
  f.flow_control = FlowControl{};
  f.permanent_address = f.link.address;
  f.xdp = XdpFeatures{true, true, true, false};
  f.features = {{"rx-gro", {false, false, true}}, {"tx-tcp-segmentation", {true, true, false}}};
  return f;
}

MachineFacts good_machine() {
  MachineFacts f;
  f.governors = {{"/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance"}};
  f.shared_huge_pages = "advise";
  f.shared_huge_pages_file = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
  f.locked_bytes = ~uint64_t{0};
  f.descriptors = 1 << 20;
  f.kernel = "6.1";
  f.xdp_sockets = f.packet_sockets = f.bpf_types = f.tun = f.sealed_memory = true;
  f.capabilities = {"cap_net_admin", "cap_net_raw", "cap_bpf"};
  return f;
}

Check named(const std::vector<Check>& checks, const std::string& name) {
  const auto found = std::find_if(checks.begin(), checks.end(), [&](const Check& check) { return check.name == name; });
  return found == checks.end() ? Check{} : *found;
}
Check of(const InterfaceFacts& facts, const char* name) { return named(check_interface(facts), name); }
Check of(const MachineFacts& facts, const char* name) { return named(check_machine(facts), name); }

TEST(Doctor, AGoodMachineHasNoComplaints) {
  for (const Check& check : check_interface(good_interface())) {
    EXPECT_EQ(check.state, State::kOk) << check.name << ": " << check.found;
    EXPECT_TRUE(check.remedy.empty()) << check.name;
  }
  for (const Check& check : check_machine(good_machine())) {
    EXPECT_EQ(check.state, State::kOk) << check.name << ": " << check.found;
    EXPECT_TRUE(check.fixes.empty()) << check.name;
  }
}

TEST(Doctor, LinksThatCarryNothing) {
  InterfaceFacts f = good_interface();
  f.link.flags = 0;
  EXPECT_EQ(of(f, "link").state, State::kFail);
  EXPECT_EQ(of(f, "link").remedy, "ip link set dev eth0 up");
  f = good_interface();
  f.carrier = false;
  EXPECT_EQ(of(f, "link").state, State::kFail);
  f.link.kind = "tun";
  EXPECT_THAT(of(f, "link").meaning, HasSubstr("tap"));
  f = good_interface();
  f.settings = LinkSettings{100, true, true};
  EXPECT_EQ(of(f, "link").state, State::kWarn);
  f.settings = LinkSettings{10000, false, true};
  EXPECT_THAT(of(f, "link").found, HasSubstr("half duplex"));
  EXPECT_EQ(of(f, "link").state, State::kWarn);
}

TEST(Doctor, FlowControlIsSwitchedOffByAFix) {
  InterfaceFacts f = good_interface();
  f.flow_control = FlowControl{true, false, true};
  const Check check = of(f, "flow-control");
  EXPECT_EQ(check.state, State::kWarn);
  ASSERT_EQ(check.fixes.size(), 1u);
  EXPECT_EQ(std::get<SetFlowControl>(check.fixes[0]).wanted, (FlowControl{false, false, false}));
}

TEST(Doctor, OnlyOffloadsThatCanBeChangedAreComplainedAbout) {
  InterfaceFacts f = good_interface();
  f.features["rx-gro"] = {true, true, true};
  f.features["tx-vlan-hw-insert"] = {true, true, true};
  const Check check = of(f, "offloads");
  EXPECT_EQ(check.state, State::kWarn);
  EXPECT_EQ(check.remedy, "ethtool -K eth0 rx-gro off tx-vlan-hw-insert off");
  EXPECT_EQ(std::get<SetFeatures>(check.fixes.at(0)).wanted,
            (std::map<std::string, bool>{{"rx-gro", false}, {"tx-vlan-hw-insert", false}}));
}

TEST(Doctor, AddressesThatCannotBeRight) {
  InterfaceFacts f = good_interface();
  f.link.address = "03:00:00:00:00:01";
  EXPECT_EQ(of(f, "address").state, State::kFail);
  f.link.address = "";
  EXPECT_EQ(of(f, "address").state, State::kFail);
  f.link.address = "02:00:00:00:00:02";
  EXPECT_EQ(of(f, "address").state, State::kWarn);
  EXPECT_THAT(of(f, "address").meaning, HasSubstr("02:00:00:00:00:01"));
  f = good_interface();
  EXPECT_THAT(of(f, "address").found, HasSubstr("not promiscuous"));
  f.link.promiscuous = 1;
  EXPECT_THAT(of(f, "address").found, testing::EndsWith(", promiscuous"));
}

TEST(Doctor, XdpModes) {
  InterfaceFacts f = good_interface();
  EXPECT_EQ(of(f, "xdp").found, "native, zero-copy");
  f.xdp = XdpFeatures{true, true, false, false};
  EXPECT_EQ(of(f, "xdp").found, "native, with a copy");
  f.link.mtu = 9000;
  EXPECT_EQ(of(f, "xdp").state, State::kWarn);
  f.xdp->fragments = true;
  EXPECT_EQ(of(f, "xdp").state, State::kOk);
  f.xdp = XdpFeatures{};
  EXPECT_EQ(of(f, "xdp").found, "generic only");
  EXPECT_EQ(of(f, "xdp").state, State::kWarn);
  f.link.xdp = "native";
  EXPECT_THAT(of(f, "xdp").remedy, HasSubstr("xdp off"));
}

TEST(Doctor, WhyADeviceCannotBeDriven) {
  InterfaceFacts f = good_interface();
  EXPECT_THAT(of(f, "driver-mode").found, HasSubstr("no PCI device"));
  f.pci = PciFacts{0x8086, 0x1533, {}};
  EXPECT_THAT(of(f, "driver-mode").found, HasSubstr("8086:1533"));
  f.pci = PciFacts{0x8086, 0x100e, {}};
  f.pci->ways.group = "3";
  EXPECT_THAT(of(f, "driver-mode").found, testing::AllOf(HasSubstr("not to be had"), HasSubstr("modprobe vfio-pci")));
  f.pci->ways.vfio_driver = f.pci->ways.vfio_container = true;
  EXPECT_THAT(of(f, "driver-mode").found, HasSubstr("by vfio, with interrupts: unetmapd --nic-mode driver"));
  EXPECT_EQ(of(f, "driver-mode").meaning, "");
  f.pci->ways.group = "";
  EXPECT_THAT(of(f, "driver-mode").found, HasSubstr("by sysfs, polled"));
  EXPECT_THAT(of(f, "driver-mode").meaning, testing::AllOf(HasSubstr("vfio: no IOMMU"), HasSubstr("uio: ")));
  f.pci->ways.lockdown = "integrity";
  EXPECT_THAT(of(f, "driver-mode").found, testing::AllOf(HasSubstr("not to be had"), HasSubstr("locked down")));
  f.pci->ways.lockdown = "none";
  f.user = "br0 stands on it";
  EXPECT_THAT(of(f, "driver-mode").found, HasSubstr("br0 stands on it"));
  f.user = "";
  f.first_namespace = false;
  EXPECT_THAT(of(f, "driver-mode").found, HasSubstr("namespace"));
  EXPECT_EQ(of(f, "driver-mode").state, State::kOk);
}

TEST(Doctor, MachinesThatSpoilExperiments) {
  MachineFacts f = good_machine();
  f.governors["/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor"] = "powersave";
  EXPECT_EQ(of(f, "governor").found, "powersave on 1 of 2 processors");
  EXPECT_EQ(std::get<WriteFile>(of(f, "governor").fixes.at(0)).file,
            "/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor");
  f.shared_huge_pages = "never";
  EXPECT_EQ(of(f, "huge-pages").state, State::kWarn);
  f.locked_bytes = 65536;
  EXPECT_EQ(of(f, "locked-memory").state, State::kWarn);
  f.capabilities.insert("cap_ipc_lock");
  EXPECT_EQ(of(f, "locked-memory").state, State::kOk);
  f.descriptors = 1024;
  EXPECT_EQ(of(f, "descriptors").state, State::kWarn);
  f.capabilities = {};
  EXPECT_THAT(of(f, "permissions").found, HasSubstr("cap_net_raw"));
  f.xdp_sockets = false;
  EXPECT_EQ(of(f, "kernel").state, State::kWarn);
  f.sealed_memory = false;
  EXPECT_EQ(of(f, "kernel").state, State::kFail);
}

TEST(Doctor, PassedThroughPorts) {
  MachineFacts f = good_machine();
  f.passed = {{"ptnet0", "0000:00:04.0", "", "none"}};
  EXPECT_EQ(of(f, "passed-through").object, "ptnet0");
  EXPECT_EQ(of(f, "passed-through").state, State::kOk);
  EXPECT_THAT(of(f, "passed-through").found, HasSubstr("0000:00:04.0"));
  f.passed[0].lockdown = "integrity";
  EXPECT_THAT(of(f, "passed-through").meaning, HasSubstr("locked down"));
  f.passed[0].driver = "uio_pci_generic";
  EXPECT_EQ(of(f, "passed-through").remedy, "echo 0000:00:04.0 >/sys/bus/pci/drivers/uio_pci_generic/unbind");
}

TEST(Doctor, TablesAndJsonSayTheSame) {
  InterfaceFacts f = good_interface();
  f.link.flags = 0;
  const std::vector<Check> checks = check_interface(f);
  EXPECT_THAT(checks_table(checks), HasSubstr("fail  link             down"));
  const auto json = checks_json(checks);
  EXPECT_EQ(json["failed"], 1);
  EXPECT_EQ(json["checks"][0]["state"], "fail");
}

}  // namespace
}  // namespace unetmap::cli
