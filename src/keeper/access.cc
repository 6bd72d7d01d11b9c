// SPDX-License-Identifier: BSD-2-Clause
#include "keeper/access.hh"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "keeper/vfio.hh"

namespace unetmap::keeper {
namespace {

namespace fs = std::filesystem;

// Registers through sysfs, and where uio_pci_generic has it, its line interrupt.
class SysfsAccess final : public DeviceAccess {
 public:
  SysfsAccess(const PciFunction& function, UniqueFd uio, UniqueFd events)
      : function_(function), uio_(std::move(uio)), events_(std::move(events)) {}

  Result<UniqueFd> bar_file(unsigned bar, uint64_t& offset) const override {
    offset = 0;
    return function_.open_bar(bar);
  }
  // QEMU passes on no interrupts of a vhost device whose line is shut when it starts (7.2 and later).
  Result<void> set_bus_master(bool on) override { return function_.set_bus_master(on, bool(uio_)); }
  Result<Bells> interrupts(uint32_t pairs, bool) override {
    Bells out;
    if (!uio_) return out;
    out.kind = driver::Interrupts::kLineOfUio;
    for (uint32_t i = 0; i < pairs; i++) {
      out.of_pair.emplace_back(fcntl(uio_.get(), F_DUPFD_CLOEXEC, 3));
      if (!out.of_pair.back()) return Error::from_errno(errno, "interrupt of the device");
    }
    auto config = function_.open_config();
    if (!config) return config.error();
    out.let_through = std::move(*config);
    return out;
  }
  int news() const override { return events_.get(); }
  bool unplugged() override;

 private:
  PciFunction function_;
  UniqueFd uio_, events_;
};

// What the kernel tells of its devices, as udev hears it.
Result<UniqueFd> open_events() {
  UniqueFd out(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = 1;
  if (!out || ::bind(out.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) < 0)
    return Error::from_errno(errno, "events of devices");
  return out;
}

// A message begins with "remove@" and a path of sysfs. Where some were lost, sysfs itself tells.
bool SysfsAccess::unplugged() {
  const std::string end = "/" + function_.address();
  char message[4096];
  for (;;) {
    sockaddr_nl from{};
    socklen_t bytes = sizeof from;
    const ssize_t n = recvfrom(events_.get(), message, sizeof message, 0, reinterpret_cast<sockaddr*>(&from), &bytes);
    if (n < 0 && errno == ENOBUFS) {
      if (access(function_.path("").c_str(), F_OK) < 0) return true;
      continue;
    }
    if (n <= 0) return false;
    const std::string_view text(message, strnlen(message, size_t(n)));
    if (from.nl_pid == 0 && text.starts_with("remove@") && text.ends_with(end)) return true;
  }
}

Result<UniqueFd> open_uio(const PciFunction& function) {
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(function.path("uio"), none)) {
    const std::string path = fmt::format("/dev/{}", entry.path().filename().string());
    UniqueFd out(open(path.c_str(), O_RDWR | O_CLOEXEC));
    if (!out) return Error::from_errno(errno, path);
    return out;
  }
  return Error{ENODEV, fmt::format("{}: uio_pci_generic made no device of it; see dmesg", function.address())};
}

}  // namespace

Result<void> DeviceAccess::let_reach(uint64_t, int, uint64_t, uint64_t) {
  return Error{ENOTSUP, "no IOMMU keeps the device to its memory"};
}

Result<std::unique_ptr<DeviceAccess>> DeviceAccess::open(const PciFunction& function, wire::DeviceWay way) {
  if (way == wire::DeviceWay::kVfio || way == wire::DeviceWay::kVfioAlone) return open_vfio(function, way);
  UniqueFd uio;
  if (way == wire::DeviceWay::kUio) {
    auto opened = open_uio(function);
    if (!opened) return opened.error();
    uio = std::move(*opened);
  }
  auto events = open_events();
  if (!events) return events.error();
  return std::unique_ptr<DeviceAccess>(new SysfsAccess(function, std::move(uio), std::move(*events)));
}

}  // namespace unetmap::keeper
