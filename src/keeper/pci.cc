// SPDX-License-Identifier: BSD-2-Clause
#include "keeper/pci.hh"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "driver/mapped_registers.hh"

namespace unetmap::keeper {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDevices = "/sys/bus/pci/devices/";
constexpr off_t kCommand = 4;  // of the configuration space
constexpr uint16_t kMemorySpace = 2, kBusMaster = 4, kNoIntx = 1 << 10;

std::string last_of(const std::string& path) {
  std::error_code none;
  fs::path target = fs::canonical(path, none);
  return none ? "" : target.filename().string();
}

Result<std::string> text_of(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char text[128];
  ssize_t n = fd ? read(fd.get(), text, sizeof text) : -1;
  if (n < 0) return Error::from_errno(errno, path);
  return std::string(text, size_t(n));
}

Result<void> write_text(const std::string& path, const std::string& text) {
  UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd || write(fd.get(), text.data(), text.size()) < 0) return Error::from_errno(errno, path);
  return {};
}

Result<uint16_t> number_in(const std::string& path) {
  auto text = text_of(path);
  if (!text) return text.error();
  return uint16_t(strtoul(text->c_str(), nullptr, 16));
}

class OwnMapping final : public driver::Registers {
 public:
  OwnMapping(void* at, uint32_t bytes) : at_(at), bytes_(bytes), registers_(at, bytes) {}
  ~OwnMapping() override { munmap(at_, bytes_); }
  OwnMapping(const OwnMapping&) = delete;
  OwnMapping& operator=(const OwnMapping&) = delete;
  uint32_t read(uint32_t offset, unsigned bytes) override { return registers_.read(offset, bytes); }
  void write(uint32_t offset, uint32_t value, unsigned bytes) override { registers_.write(offset, value, bytes); }

 private:
  void* at_;
  uint32_t bytes_;
  driver::MappedRegisters registers_;
};

}  // namespace

std::string PciFunction::path(const char* file) const { return fmt::format("{}{}/{}", kDevices, address_, file); }

Result<PciFunction> PciFunction::behind(const std::string& interface) {
  std::error_code none;
  fs::path device = fs::canonical(fmt::format("/sys/class/net/{}/device", interface), none);
  if (none) return Error{ENODEV, fmt::format("{}: has no device behind it that a driver could drive", interface)};
  // A virtio device is one of its function.
  if (last_of(device / "subsystem") == "virtio") device = device.parent_path();
  if (last_of(device / "subsystem") != "pci")
    return Error{ENODEV, fmt::format("{}: its device is on no PCI bus", interface)};
  return at(device.filename().string());
}

Result<PciFunction> PciFunction::at(const std::string& address) {
  PciFunction out;
  out.address_ = address;
  auto vendor = number_in(out.path("vendor")), device = number_in(out.path("device"));
  if (!vendor) return vendor.error();
  if (!device) return device.error();
  out.vendor_ = *vendor;
  out.device_ = *device;
  if (auto number = number_in(out.path("subsystem_vendor"))) out.subsystem_vendor_ = *number;
  if (auto number = number_in(out.path("subsystem_device"))) out.subsystem_device_ = *number;
  return out;
}

std::string PciFunction::driver() const { return last_of(path("driver")); }
std::string PciFunction::iommu_group() const { return last_of(path("iommu_group")); }

Result<void> PciFunction::unbind(const std::string& driver) const {
  return write_text(fmt::format("/sys/bus/pci/drivers/{}/unbind", driver), address_);
}
Result<void> PciFunction::bind(const std::string& driver) const {
  return write_text(fmt::format("/sys/bus/pci/drivers/{}/bind", driver), address_);
}

Result<void> PciFunction::reserve(const std::string& driver) const {
  return write_text(path("driver_override"), driver + "\n");
}

std::string PciFunction::interface() const {
  std::error_code none;
  std::vector<fs::path> places{path("net")};
  for (const auto& entry : fs::directory_iterator(path(""), none))
    if (entry.path().filename().string().starts_with("virtio")) places.push_back(entry.path() / "net");
  for (const fs::path& place : places)
    for (const auto& entry : fs::directory_iterator(place, none)) return entry.path().filename().string();
  return "";
}

bool PciFunction::virtio_feature(unsigned bit) const {
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(path(""), none)) {
    if (!entry.path().filename().string().starts_with("virtio")) continue;
    auto bits = text_of(entry.path() / "features");
    return bits && bit < bits->size() && (*bits)[bit] == '1';
  }
  return false;
}

Result<std::vector<uint8_t>> PciFunction::config() const {
  UniqueFd fd(open(path("config").c_str(), O_RDONLY | O_CLOEXEC));
  std::vector<uint8_t> out(256);
  ssize_t n = fd ? pread(fd.get(), out.data(), out.size(), 0) : -1;
  if (n < 0) return Error::from_errno(errno, path("config"));
  out.resize(size_t(n));
  return out;
}

Result<void> PciFunction::set_bus_master(bool on, bool line) const {
  UniqueFd fd(open(path("config").c_str(), O_RDWR | O_CLOEXEC));
  uint16_t command = 0;
  if (!fd || pread(fd.get(), &command, sizeof command, kCommand) != sizeof command)
    return Error::from_errno(errno, path("config"));
  // Where nobody would hear of an interrupt, others on its line would be asked again and again.
  command |= kMemorySpace;
  command = uint16_t(command & ~(kBusMaster | kNoIntx));
  if (on) command |= kBusMaster;
  if (on && !line) command |= kNoIntx;
  if (pwrite(fd.get(), &command, sizeof command, kCommand) == sizeof command) return {};
  Error out = Error::from_errno(errno, path("config"));
  if (out.code == EPERM) out.text += "; the kernel is locked down, which takes vfio-pci and an IOMMU";
  return out;
}

Result<UniqueFd> PciFunction::open_bar(unsigned bar) const {
  UniqueFd out(open(path(fmt::format("resource{}", bar).c_str()).c_str(), O_RDWR | O_CLOEXEC));
  if (!out) return Error::from_errno(errno, path(fmt::format("resource{}", bar).c_str()));
  return out;
}

Result<UniqueFd> PciFunction::open_config() const {
  UniqueFd out(open(path("config").c_str(), O_RDWR | O_CLOEXEC));
  if (!out) return Error::from_errno(errno, path("config"));
  return out;
}

Result<std::unique_ptr<driver::Registers>> map_bar(int fd, uint64_t offset, uint32_t bytes) {
  void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, off_t(offset));
  if (at == MAP_FAILED) {
    Error out = Error::from_errno(errno, "registers of the device");
    if (out.code == EPERM) out.text += "; the kernel is locked down";
    return out;
  }
  return std::unique_ptr<driver::Registers>(new OwnMapping(at, bytes));
}

}  // namespace unetmap::keeper
