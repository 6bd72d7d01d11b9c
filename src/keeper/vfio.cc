// SPDX-License-Identifier: BSD-2-Clause
// The device's descriptor keeps group and container, and with them what the device may reach, in place: programs get
// copies of it, and when the last is closed the kernel stops and resets the device, whoever died before.
#include "keeper/vfio.hh"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/vfio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace unetmap::keeper {
namespace {

constexpr off_t kCommand = 4;  // of the configuration space
constexpr uint16_t kMemorySpace = 2, kBusMaster = 4;

class VfioAccess final : public DeviceAccess {
 public:
  static Result<std::unique_ptr<DeviceAccess>> open(const PciFunction& function, bool alone);

  Result<UniqueFd> bar_file(unsigned bar, uint64_t& offset) const override {
    auto region = region_of(VFIO_PCI_BAR0_REGION_INDEX + bar);
    if (!region) return region.error();
    if (!(region->flags & VFIO_REGION_INFO_FLAG_MMAP))
      return Error{ENOTSUP, fmt::format("{}: vfio-pci lets nobody map BAR {}", address_, bar)};
    offset = region->offset;
    UniqueFd out(fcntl(device_.get(), F_DUPFD_CLOEXEC, 3));
    if (!out) return Error::from_errno(errno, address_);
    return out;
  }
  Result<void> set_bus_master(bool on) override;
  Result<void> let_reach(uint64_t address, int memfd, uint64_t offset, uint64_t bytes) override;
  Result<Bells> interrupts(uint32_t pairs, bool of_pairs) override;
  int news() const override { return request_.get(); }
  bool unplugged() override {
    uint64_t times = 0;
    return request_ && read(request_.get(), &times, sizeof times) == sizeof times;
  }

 private:
  explicit VfioAccess(const PciFunction& function) : address_(function.address()) {}
  Error failed(const char* what) const { return Error::from_errno(errno, fmt::format("{}: {}", address_, what)); }
  Result<void> open_group(const std::string& path, bool alone);
  Result<void> set_iommu(unsigned long kind);
  Result<vfio_region_info> region_of(uint32_t index) const;
  uint32_t interrupts_of(uint32_t index) const;
  Result<void> ring(uint32_t index, uint32_t action, const std::vector<int>& fds);

  std::string address_;
  UniqueFd container_, group_, device_;
  UniqueFd request_;  // by which the kernel asks for the device
};

// The number of the function's group, which has another name where there is no IOMMU.
Result<std::string> group_path(const PciFunction& function, bool alone) {
  const std::string number = function.iommu_group();
  if (number.empty())
    return Error{ENODEV, fmt::format("{}: vfio-pci has made no group of it; see dmesg", function.address())};
  return fmt::format("/dev/vfio/{}{}", alone ? "noiommu-" : "", number);
}

Result<void> VfioAccess::set_iommu(unsigned long kind) {
  if (ioctl(container_.get(), VFIO_SET_IOMMU, kind) >= 0) return {};
  Error out = failed("IOMMU");
  if (out.code == EPERM)
    out.text +=
        "; where that does not remap interrupts: "
        "echo 1 >/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts";
  return out;
}

Result<void> VfioAccess::open_group(const std::string& path, bool alone) {
  container_ = UniqueFd(::open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC));
  if (!container_) return Error::from_errno(errno, "/dev/vfio/vfio");
  if (ioctl(container_.get(), VFIO_GET_API_VERSION) != VFIO_API_VERSION)
    return Error{ENOTSUP, "/dev/vfio/vfio: of another version"};
  group_ = UniqueFd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!group_) return Error::from_errno(errno, path);
  vfio_group_status status{.argsz = sizeof status, .flags = 0};
  if (ioctl(group_.get(), VFIO_GROUP_GET_STATUS, &status) < 0) return Error::from_errno(errno, path);
  if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE))
    return Error{EBUSY, fmt::format("{}: another function of this IOMMU group has a kernel driver", path)};
  int container = container_.get();
  if (ioctl(group_.get(), VFIO_GROUP_SET_CONTAINER, &container) < 0) return Error::from_errno(errno, path);
  constexpr unsigned long kKinds[] = {VFIO_TYPE1v2_IOMMU, VFIO_TYPE1_IOMMU};
  if (alone) return set_iommu(VFIO_NOIOMMU_IOMMU);
  for (unsigned long kind : kKinds)
    if (ioctl(container, VFIO_CHECK_EXTENSION, kind) > 0) return set_iommu(kind);
  return Error{ENOTSUP, fmt::format("{}: vfio has no driver for this IOMMU: modprobe vfio_iommu_type1", address_)};
}

Result<std::unique_ptr<DeviceAccess>> VfioAccess::open(const PciFunction& function, bool alone) {
  std::unique_ptr<VfioAccess> out(new VfioAccess(function));
  auto path = group_path(function, alone);
  if (!path) return path.error();
  if (auto done = out->open_group(*path, alone); !done) return done.error();
  out->device_ = UniqueFd(ioctl(out->group_.get(), VFIO_GROUP_GET_DEVICE_FD, function.address().c_str()));
  if (!out->device_) return out->failed("vfio");
  out->request_ = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!out->request_) return out->failed("request");
  if (auto done = out->ring(VFIO_PCI_REQ_IRQ_INDEX, VFIO_IRQ_SET_ACTION_TRIGGER, {out->request_.get()}); !done)
    return done.error();
  return std::unique_ptr<DeviceAccess>(std::move(out));
}

Result<vfio_region_info> VfioAccess::region_of(uint32_t index) const {
  vfio_region_info out{};
  out.argsz = sizeof out;
  out.index = index;
  if (ioctl(device_.get(), VFIO_DEVICE_GET_REGION_INFO, &out) < 0) return failed("region");
  return out;
}

Result<void> VfioAccess::set_bus_master(bool on) {
  auto config = region_of(VFIO_PCI_CONFIG_REGION_INDEX);
  if (!config) return config.error();
  const off_t at = off_t(config->offset) + kCommand;
  uint16_t command = 0;
  if (pread(device_.get(), &command, sizeof command, at) != sizeof command) return failed("configuration space");
  command |= kMemorySpace;
  command = uint16_t(on ? command | kBusMaster : command & ~kBusMaster);
  if (pwrite(device_.get(), &command, sizeof command, at) != sizeof command) return failed("configuration space");
  return {};
}

// The pages stay pinned when they are mapped here no more.
Result<void> VfioAccess::let_reach(uint64_t address, int memfd, uint64_t offset, uint64_t bytes) {
  void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, off_t(offset));
  if (at == MAP_FAILED) return failed("memory for the device");
  vfio_iommu_type1_dma_map map{};
  map.argsz = sizeof map;
  map.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
  map.vaddr = reinterpret_cast<uintptr_t>(at);
  map.iova = address;
  map.size = bytes;
  Result<void> done;
  if (ioctl(container_.get(), VFIO_IOMMU_MAP_DMA, &map) < 0) {
    Error error = failed("memory for the device");
    if (error.code == ENOMEM)
      error.text += "; more must be allowed to be locked (ulimit -l), or fewer buffers taken (--nic-buffers)";
    done = error;
  }
  munmap(at, bytes);
  return done;
}

uint32_t VfioAccess::interrupts_of(uint32_t index) const {
  vfio_irq_info info{};
  info.argsz = sizeof info;
  info.index = index;
  return ioctl(device_.get(), VFIO_DEVICE_GET_IRQ_INFO, &info) < 0 || !(info.flags & VFIO_IRQ_INFO_EVENTFD)
             ? 0
             : info.count;
}

Result<void> VfioAccess::ring(uint32_t index, uint32_t action, const std::vector<int>& fds) {
  std::vector<uint8_t> bytes(sizeof(vfio_irq_set) + fds.size() * sizeof(int));
  auto* set = reinterpret_cast<vfio_irq_set*>(bytes.data());
  set->argsz = uint32_t(bytes.size());
  set->flags = VFIO_IRQ_SET_DATA_EVENTFD | action;
  set->index = index;
  set->count = uint32_t(fds.size());
  memcpy(set->data, fds.data(), fds.size() * sizeof(int));
  if (ioctl(device_.get(), VFIO_DEVICE_SET_IRQS, set) < 0) return failed("interrupts");
  return {};
}

// Messages where the function has them, each pair with one of its own as long as there are enough; then they share the
// last.
Result<Bells> VfioAccess::interrupts(uint32_t pairs, bool of_pairs) {
  Bells out;
  const uint32_t vectors = of_pairs ? std::min(pairs, interrupts_of(VFIO_PCI_MSIX_IRQ_INDEX)) : 0;
  const bool one = vectors == 0 && interrupts_of(VFIO_PCI_MSI_IRQ_INDEX) > 0;
  const bool line = vectors == 0 && !one && interrupts_of(VFIO_PCI_INTX_IRQ_INDEX) > 0;
  const uint32_t count = vectors > 0 ? vectors : one || line ? 1 : 0;
  if (count == 0) return out;
  std::vector<int> fds;
  for (uint32_t i = 0; i < pairs; i++) {
    out.of_pair.emplace_back(i < count ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
                                       : fcntl(fds.back(), F_DUPFD_CLOEXEC, 3));
    if (!out.of_pair.back()) return failed("interrupts");
    if (i < count) fds.push_back(out.of_pair.back().get());
  }
  const uint32_t index = vectors > 0 ? VFIO_PCI_MSIX_IRQ_INDEX : one ? VFIO_PCI_MSI_IRQ_INDEX : VFIO_PCI_INTX_IRQ_INDEX;
  if (auto done = ring(index, VFIO_IRQ_SET_ACTION_TRIGGER, fds); !done) return done.error();
  out.kind = vectors > 0 ? driver::Interrupts::kMessages
             : one       ? driver::Interrupts::kOneMessage
                         : driver::Interrupts::kLineOfVfio;
  out.vectors = count;
  if (!line) return out;
  out.let_through = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!out.let_through) return failed("interrupts");
  if (auto done = ring(index, VFIO_IRQ_SET_ACTION_UNMASK, {out.let_through.get()}); !done) return done.error();
  return out;
}

}  // namespace

Result<std::unique_ptr<DeviceAccess>> open_vfio(const PciFunction& function, wire::DeviceWay way) {
  return VfioAccess::open(function, way == wire::DeviceWay::kVfioAlone);
}

}  // namespace unetmap::keeper
