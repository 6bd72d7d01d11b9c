// SPDX-License-Identifier: BSD-2-Clause
#include "doctor_facts.hh"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/fd.hh"
#include "wire/driven_devices.hh"

namespace unetmap::cli {
namespace {

namespace fs = std::filesystem;

std::optional<std::string> first_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  return line;
}

std::map<std::string, std::string> governors(const std::string& root) {
  std::map<std::string, std::string> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(root + "/sys/devices/system/cpu", error)) {
    const fs::path file = entry.path() / "cpufreq/scaling_governor";
    if (auto line = first_line(file)) out[file.string()] = *line;
  }
  return out;
}

// Of "always within_size [never]", the chosen one.
std::optional<std::string> chosen(const std::optional<std::string>& line) {
  if (!line) return std::nullopt;
  const size_t from = line->find('['), to = line->find(']');
  if (from == std::string::npos || to == std::string::npos || to < from) return std::nullopt;
  return line->substr(from + 1, to - from - 1);
}

std::optional<PciFacts> pci_facts(const std::string& interface, const std::string& root) {
  std::error_code none;
  fs::path device = fs::canonical(root + "/sys/class/net/" + interface + "/device", none);
  if (none) return std::nullopt;
  // A virtio device is one of its function.
  if (fs::canonical(device / "subsystem", none).filename() == "virtio") device = device.parent_path();
  if (fs::canonical(device / "subsystem", none).filename() != "pci") return std::nullopt;
  auto number = [&](const char* file) {
    return uint16_t(strtoul(first_line(device / file).value_or("0").c_str(), nullptr, 16));
  };
  return PciFacts{number("vendor"), number("device"), wire::look_at_ways(device.filename().string(), root)};
}

// Those that matter here, from the mask in /proc/self/status.
std::set<std::string> capabilities(const std::string& root) {
  constexpr std::array<std::pair<int, const char*>, 6> kNames{{{12, "cap_net_admin"},
                                                               {13, "cap_net_raw"},
                                                               {14, "cap_ipc_lock"},
                                                               {21, "cap_sys_admin"},
                                                               {38, "cap_perfmon"},
                                                               {39, "cap_bpf"}}};
  std::set<std::string> out;
  std::ifstream file(root + "/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("CapEff:")) continue;
    const unsigned long long mask = strtoull(line.c_str() + 7, nullptr, 16);
    for (const auto& [bit, name] : kNames) {
      if (mask >> bit & 1) out.insert(name);
    }
  }
  return out;
}

std::vector<PassedFacts> passed_ports(const std::string& root) {
  std::vector<PassedFacts> out;
  const std::string lockdown = chosen(first_line(root + "/sys/kernel/security/lockdown")).value_or("");
  const fs::path devices = root + "/sys/bus/pci/devices";
  for (const std::string& address : wire::passed_functions(root)) {
    std::error_code none;
    const fs::path driver = fs::read_symlink(devices / address / "driver", none);
    out.push_back({"ptnet" + std::to_string(out.size()), address, driver.filename().string(), lockdown});
  }
  return out;
}

uint64_t limit(__rlimit_resource which, bool hard) {
  rlimit both{};
  if (getrlimit(which, &both) != 0) return 0;
  const rlim_t value = hard ? both.rlim_max : both.rlim_cur;
  return value == RLIM_INFINITY ? ~uint64_t{0} : value;
}

}  // namespace

Result<InterfaceFacts> look_at_interface(const std::string& name) {
  auto ethtool = Ethtool::open(name);
  if (!ethtool) return ethtool.error();
  auto link = query_link(name);
  if (!link) return link.error();
  InterfaceFacts out{name, *link};
  out.carrier = ethtool->carrier();
  out.settings = ethtool->link_settings();
  out.flow_control = ethtool->flow_control();
  out.queues = ethtool->queues();
  out.driver = ethtool->driver();
  out.permanent_address = ethtool->permanent_address();
  out.features = ethtool->features();
  out.xdp = query_xdp_features(link->index);
  out.pci = pci_facts(name, "");
  out.user = wire::user_of_interface(name);
  out.first_namespace = wire::in_first_namespace();
  return out;
}

std::vector<InterfaceFacts> look_at_devices(const std::string& root) {
  std::vector<InterfaceFacts> out;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(root + "/sys/class/net", none)) {
    InterfaceFacts facts;
    facts.name = entry.path().filename().string();
    facts.pci = pci_facts(facts.name, root);
    if (!facts.pci) continue;
    facts.user = wire::user_of_interface(facts.name, root);
    facts.first_namespace = wire::in_first_namespace();
    out.push_back(std::move(facts));
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return out;
}

MachineFacts look_at_machine(const std::string& root) {
  MachineFacts out;
  out.governors = governors(root);
  out.shared_huge_pages_file = root + "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
  out.shared_huge_pages = chosen(first_line(out.shared_huge_pages_file));
  out.locked_bytes = limit(RLIMIT_MEMLOCK, false);
  out.descriptors = limit(RLIMIT_NOFILE, true);
  utsname names{};
  if (uname(&names) == 0) out.kernel = names.release;
  // EPERM says that the kernel knows it.
  auto knows = [](int family, int type) {
    UniqueFd socket(::socket(family, type | SOCK_CLOEXEC, 0));
    return socket || errno != EAFNOSUPPORT;
  };
  out.xdp_sockets = knows(AF_XDP, SOCK_RAW);
  out.packet_sockets = knows(AF_PACKET, SOCK_RAW);
  out.bpf_types = access((root + "/sys/kernel/btf/vmlinux").c_str(), R_OK) == 0;
  out.tun = access((root + "/dev/net/tun").c_str(), R_OK | W_OK) == 0;
  UniqueFd memory(memfd_create("doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  out.sealed_memory = memory && fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SHRINK) == 0;
  out.capabilities = capabilities(root);
  out.passed = passed_ports(root);
  out.processors = std::max(1u, std::thread::hardware_concurrency());
  return out;
}

}  // namespace unetmap::cli
