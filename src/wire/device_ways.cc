// SPDX-License-Identifier: BSD-2-Clause
#include "wire/device_ways.hh"

#include <sys/socket.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <string_view>

#include "base/fd.hh"

namespace unetmap::wire {
namespace {

namespace fs = std::filesystem;

// The library, which has this too, does not bring fmt.
std::string joined(std::initializer_list<std::string_view> parts) {
  std::string out;
  for (std::string_view part : parts) out += part;
  return out;
}

constexpr size_t kInterruptPin = 0x3d;     // of the configuration space
constexpr size_t kAccessPlatformBit = 33;  // of virtio's features

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// The last part of where a link leads.
std::string target_of(const fs::path& link) {
  std::error_code none;
  return fs::read_symlink(link, none).filename().string();
}

// Who has a function so that vfio leaves its whole group to nobody.
bool is_in_the_way(const std::string& driver) {
  return !driver.empty() && driver != "vfio-pci" && driver != "pci-stub" && driver != "pcieport";
}

void look_at_group(WayFacts& facts, const std::string& root) {
  const std::string group = joined({root, "/sys/kernel/iommu_groups/", facts.group});
  facts.identity = first_line(joined({group, "/type"})) == "identity";
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(joined({group, "/devices"}), none)) {
    const std::string other = entry.path().filename().string();
    const std::string driver = target_of(joined({root, "/sys/bus/pci/devices/", other, "/driver"}));
    if (other == facts.address || !is_in_the_way(driver)) continue;
    facts.neighbour = other;
    facts.neighbour_driver = driver;
  }
}

// As its kernel driver has agreed on; no device but a virtio one has such a folder.
bool bypasses_iommu(const std::string& device) {
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(device, none)) {
    if (!entry.path().filename().string().starts_with("virtio")) continue;
    const std::string bits = first_line(entry.path() / "features");
    return bits.size() > kAccessPlatformBit && bits[kAccessPlatformBit] != '1';
  }
  return false;
}

bool has_line(const std::string& device) {
  std::ifstream file(joined({device, "/config"}), std::ios::binary);
  char head[kInterruptPin + 1] = {};
  return file.read(head, sizeof head) && head[kInterruptPin] != 0;
}

std::string obstacle_to_vfio(const WayFacts& f) {
  if (f.group.empty())
    return "no IOMMU is before the device, or it is off (on the kernel's command line: intel_iommu=on)";
  if (!f.vfio_driver) return "the kernel's driver vfio-pci is not loaded: modprobe vfio-pci";
  if (!f.vfio_container) return "there is no /dev/vfio/vfio; in containers it has to be passed in";
  if (!f.neighbour.empty())
    return joined({f.neighbour, " is in the same IOMMU group, and ", f.neighbour_driver, " has it: echo ", f.neighbour,
                   " >/sys/bus/pci/drivers/", f.neighbour_driver, "/unbind"});
  return "";
}

std::string obstacle_to_vfio_alone(const WayFacts& f) {
  if (!f.group.empty()) return "an IOMMU is before the device";
  if (!f.vfio_driver) return "the kernel's driver vfio-pci is not loaded: modprobe vfio-pci";
  if (!f.alone_allowed) return "this kernel has vfio behind an IOMMU only (no CONFIG_VFIO_NOIOMMU)";
  if (!*f.alone_allowed)
    return "not allowed here: echo 1 >/sys/module/vfio/parameters/enable_unsafe_noiommu_mode, which taints the kernel";
  return "";
}

// Both ways that tell the device the machine's own addresses, and map registers through sysfs.
std::string obstacle_to_sysfs(const WayFacts& f) {
  if (f.translated()) return "the device is behind an IOMMU, which takes vfio-pci";
  if (f.locked_down())
    return joined({"the kernel is locked down (", f.lockdown, "), which takes vfio-pci and an IOMMU"});
  return "";
}

std::string obstacle_to_uio(const WayFacts& f) {
  if (std::string why = obstacle_to_sysfs(f); !why.empty()) return why;
  if (!f.line) return "the device has no line interrupt";
  if (!f.uio_driver) return "the kernel's driver uio_pci_generic is not loaded: modprobe uio_pci_generic";
  return "";
}

}  // namespace

const char* way_name(DeviceWay way) {
  switch (way) {
    case DeviceWay::kVfio:
      return "vfio";
    case DeviceWay::kVfioAlone:
      return "vfio-noiommu";
    case DeviceWay::kUio:
      return "uio";
    case DeviceWay::kSysfs:
      return "sysfs";
  }
  return "";
}

std::optional<DeviceWay> way_named(const std::string& name) {
  for (DeviceWay way : kDeviceWays)
    if (name == way_name(way)) return way;
  return std::nullopt;
}

const char* way_driver(DeviceWay way) {
  switch (way) {
    case DeviceWay::kVfio:
    case DeviceWay::kVfioAlone:
      return "vfio-pci";
    case DeviceWay::kUio:
      return "uio_pci_generic";
    case DeviceWay::kSysfs:
      return "";
  }
  return "";
}

WayFacts look_at_ways(const std::string& address, const std::string& root) {
  WayFacts out;
  out.address = address;
  std::error_code none;
  const std::string drivers = root + "/sys/bus/pci/drivers/", device = joined({root, "/sys/bus/pci/devices/", address});
  out.vfio_driver = fs::exists(drivers + "vfio-pci", none);
  out.vfio_container = fs::exists(root + "/dev/vfio/vfio", none);
  out.uio_driver = fs::exists(drivers + "uio_pci_generic", none);
  out.group = target_of(device + "/iommu_group");
  if (!out.group.empty()) look_at_group(out, root);
  out.bypasses = bypasses_iommu(device);
  const std::string alone = first_line(root + "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode");
  if (!alone.empty()) out.alone_allowed = alone == "Y" || alone == "1";
  out.line = has_line(device);
  const std::string lockdown = first_line(root + "/sys/kernel/security/lockdown");
  if (const size_t at = lockdown.find('['); at != std::string::npos)
    out.lockdown = lockdown.substr(at + 1, lockdown.find(']') - at - 1);
  return out;
}

std::string user_of_interface(const std::string& interface, const std::string& root) {
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(joined({root, "/sys/class/net/", interface}), none)) {
    const std::string name = entry.path().filename().string();
    if (name == "master") return "is a port of a bridge or bond";
    if (name.starts_with("upper_")) return joined({name.substr(sizeof "upper_" - 1), " stands on it"});
  }
  return "";
}

// Its inode is always the same since Linux 6.18 (NET_NS_INIT_INO of its linux/nsfs.h), which no other has in older
// ones; there its cookie is 1 (5.14 to 6.17). /proc/1/ns is not for everybody to read.
bool in_first_namespace() {
  constexpr ino_t kFirstInode = 0xeffffff9;
  struct stat here {};
  if (stat("/proc/thread-self/ns/net", &here) == 0 && here.st_ino == kFirstInode) return true;
  UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  uint64_t cookie = 0;
  socklen_t bytes = sizeof cookie;
  return socket && getsockopt(socket.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &bytes) == 0 && cookie == 1;
}

std::string obstacle(DeviceWay way, const WayFacts& facts) {
  switch (way) {
    case DeviceWay::kVfio:
      return obstacle_to_vfio(facts);
    case DeviceWay::kVfioAlone:
      return obstacle_to_vfio_alone(facts);
    case DeviceWay::kUio:
      return obstacle_to_uio(facts);
    case DeviceWay::kSysfs:
      return obstacle_to_sysfs(facts);
  }
  return "";
}

}  // namespace unetmap::wire
