// SPDX-License-Identifier: BSD-2-Clause
// What is looked at before anything is judged: plain data, so that judgements can be tested without a machine to match.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.hh"
#include "ethtool.hh"
#include "link_query.hh"
#include "wire/device_ways.hh"

namespace unetmap::cli {

// The PCI function behind an interface.
struct PciFacts {
  uint16_t vendor = 0, device = 0;
  wire::WayFacts ways;  // how it could be driven from here
};

struct InterfaceFacts {
  std::string name;
  LinkFacts link;
  std::optional<bool> carrier;
  std::optional<LinkSettings> settings;
  std::optional<FlowControl> flow_control;
  std::optional<Queues> queues;
  std::optional<std::string> driver, permanent_address;
  std::optional<XdpFeatures> xdp;
  Features features;
  std::optional<PciFacts> pci;
  std::string user;             // what stands on it: "is a port of a bridge or bond"
  bool first_namespace = true;  // this process is where kernel drivers put interfaces
};
Result<InterfaceFacts> look_at_interface(const std::string& name);
// Of each interface that has a PCI device only what decides about mode `driver`; the others are left out.
std::vector<InterfaceFacts> look_at_devices(const std::string& root = "");

// A port that the host of this virtual machine passes through.
struct PassedFacts {
  std::string name, address;  // ptnet0, 0000:00:04.0
  std::string driver;         // of the kernel, which has the device; empty: none
  std::string lockdown;       // the word in brackets; empty where the kernel has none
  bool locked() const { return !lockdown.empty() && lockdown != "none"; }
};

struct MachineFacts {
  std::map<std::string, std::string> governors;  // file of a processor -> what it says; empty: no frequency scaling
  std::optional<std::string> shared_huge_pages;  // the word in brackets of shmem_enabled
  std::string shared_huge_pages_file;
  uint64_t locked_bytes = 0;  // limits; ~0 for none
  uint64_t descriptors = 0;   // the hard limit, up to which programs and daemon raise theirs
  std::string kernel;         // "6.1.0-18-amd64"
  bool xdp_sockets = false, packet_sockets = false, bpf_types = false, tun = false, sealed_memory = false;
  std::set<std::string> capabilities;  // effective, such as "cap_net_raw"
  unsigned processors = 0;
  std::vector<PassedFacts> passed;
};

// `root` goes before the paths of /sys, /proc and /dev; the empty one is this machine.
MachineFacts look_at_machine(const std::string& root = "");

}  // namespace unetmap::cli
