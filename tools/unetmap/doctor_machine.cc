// SPDX-License-Identifier: BSD-2-Clause
#include <fmt/core.h>
#include <fmt/format.h>

#include "doctor_checks.hh"

namespace unetmap::cli {
namespace {

constexpr const char* kMachine = "machine";
constexpr uint64_t kEnoughLocked = 64 << 20;  // the packet memory of a port, which AF_XDP locks
constexpr uint64_t kEnoughDescriptors = 4096;

Check governor(const MachineFacts& f) {
  Check out{kMachine, "governor"};
  if (f.governors.empty()) {
    out.found = "no frequency scaling here (a virtual machine, or fixed by the firmware)";
    return out;
  }
  std::set<std::string> others;
  for (const auto& [file, governor] : f.governors) {
    if (governor == "performance") continue;
    others.insert(governor);
    out.fixes.push_back(WriteFile{file, "performance"});
  }
  if (others.empty()) {
    out.found = "performance";
    return out;
  }
  out.state = State::kWarn;
  out.found = fmt::format("{} on {} of {} processors", fmt::join(others, ", "), out.fixes.size(), f.governors.size());
  out.meaning = "programs that sleep between packets look idle, and the clock goes down";
  out.remedy = "cpupower frequency-set -g performance";
  return out;
}

Check huge_pages(const MachineFacts& f) {
  Check out{kMachine, "huge-pages"};
  out.found = f.shared_huge_pages ? "shared memory: " + *f.shared_huge_pages : "the kernel has none for shared memory";
  if (f.shared_huge_pages == "never" || f.shared_huge_pages == "deny") {
    out.state = State::kWarn;
    out.meaning = "packet buffers lie on small pages: each batch of packets looks up more addresses";
    out.remedy = fmt::format("echo advise >{}", f.shared_huge_pages_file);
    out.fixes.push_back(WriteFile{f.shared_huge_pages_file, "advise"});
  }
  return out;
}

std::string amount(uint64_t value) { return value == ~uint64_t{0} ? "no limit" : std::to_string(value); }

Check locked_memory(const MachineFacts& f) {
  Check out{kMachine, "locked-memory"};
  const bool exempt = f.capabilities.contains("cap_ipc_lock");
  out.found = amount(f.locked_bytes) + (f.locked_bytes == ~uint64_t{0} ? "" : " bytes") +
              (exempt ? ", which does not bind this user" : "");
  if (f.locked_bytes < kEnoughLocked && !exempt) {
    out.state = State::kWarn;
    out.meaning = "AF_XDP locks packet memory: ports on interfaces fail with ENOBUFS or fall back to packet sockets";
    out.remedy =
        "ulimit -l unlimited, or memlock in /etc/security/limits.conf; LimitMEMLOCK=infinity in a systemd unit";
  }
  return out;
}

Check descriptors(const MachineFacts& f) {
  Check out{kMachine, "descriptors"};
  out.found = amount(f.descriptors);
  if (f.descriptors < kEnoughDescriptors) {
    out.state = State::kWarn;
    out.meaning = "each port takes one of its program and one of the daemon, each peer that is woken another";
    out.remedy = fmt::format("raise the hard limit: ulimit -Hn {}, or nofile in /etc/security/limits.conf",
                             kEnoughDescriptors * 4);
  }
  return out;
}

Check kernel(const MachineFacts& f) {
  Check out{kMachine, "kernel"};
  out.found = f.kernel;
  struct Need {
    bool there, vital;
    const char* name;
    const char* lack;
  };
  const Need needs[] = {
      {f.sealed_memory, true, "sealed memory (memfd)", "no port can be opened at all"},
      {f.packet_sockets, false, "packet sockets (CONFIG_PACKET)", "no ports on interfaces without XDP, no l2open -r"},
      {f.xdp_sockets, false, "AF_XDP sockets (CONFIG_XDP_SOCKETS)", "ports on interfaces fall back to packet sockets"},
      {f.bpf_types, false, "types for BPF (CONFIG_DEBUG_INFO_BTF)", "host rings and XDP programs may not load"},
      {f.tun, false, "taps (/dev/net/tun, which this user may open)",
       "no persistent ports as interfaces, no l2open -t"}};
  for (const Need& need : needs) {
    if (need.there) continue;
    out.state = need.vital ? State::kFail : std::max(out.state, State::kWarn);
    out.found += fmt::format("; lacks {}", need.name);
    out.meaning += fmt::format("{}{}", out.meaning.empty() ? "" : "; ", need.lack);
  }
  if (out.state != State::kOk) out.remedy = "modprobe tun, or a kernel with these options";
  return out;
}

Check permissions(const MachineFacts& f) {
  Check out{kMachine, "permissions"};
  std::vector<std::string> lacking;
  for (const char* name : {"cap_net_admin", "cap_net_raw", "cap_bpf"}) {
    if (!f.capabilities.contains(name) && !f.capabilities.contains("cap_sys_admin")) lacking.push_back(name);
  }
  if (lacking.empty()) {
    out.found = "interfaces may be opened";
    return out;
  }
  out.state = State::kWarn;
  out.found = fmt::format("this user lacks {}", fmt::join(lacking, ", "));
  out.meaning = "switches, pipes and monitors work; a daemon started by this user opens no interfaces";
  out.remedy =
      "sudo, or give them to the programs: setcap cap_net_admin,cap_net_raw,cap_bpf=ep FILE of unetmapd and "
      "unetmap-keeper";
  return out;
}

Check passed_through(const PassedFacts& f) {
  Check out{f.name, "passed-through"};
  out.found =
      fmt::format("passed through by the host at {}: to be had by root, as netmap:{}; polled, without interrupts",
                  f.address, f.name);
  if (!f.driver.empty()) {
    out.state = State::kWarn;
    out.meaning = fmt::format("the kernel driver {} has the device: opening the port fails", f.driver);
    out.remedy = fmt::format("echo {} >/sys/bus/pci/drivers/{}/unbind", f.address, f.driver);
  } else if (f.locked()) {
    out.state = State::kWarn;
    out.meaning = fmt::format("the kernel is locked down ({}), and gives no memory of devices: opening the port fails",
                              f.lockdown);
    out.remedy = "start the machine without Secure Boot, or without lockdown= on the kernel's command line";
  }
  return out;
}

}  // namespace

std::vector<Check> check_machine(const MachineFacts& f) {
  std::vector<Check> out{governor(f), huge_pages(f), locked_memory(f), descriptors(f), kernel(f), permissions(f)};
  for (const PassedFacts& each : f.passed) out.push_back(passed_through(each));
  return out;
}

}  // namespace unetmap::cli
