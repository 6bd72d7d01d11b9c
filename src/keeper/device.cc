// SPDX-License-Identifier: BSD-2-Clause
#include "keeper/device.hh"

#include <fmt/format.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include <filesystem>
#include <new>
#include <span>

#include "driver/control.hh"
#include "driver/e1000/device.hh"
#include "driver/virtio_net/device.hh"
#include "keeper/link_state.hh"
#include "keeper/pinned.hh"
#include "keeper/tap.hh"
#include "mem/memfd.hh"
#include "wire/driven_devices.hh"

namespace unetmap::keeper {
namespace {

namespace fs = std::filesystem;

constexpr uint32_t kVirtioMtu = wire::kUmemChunk - wire::kUmemHeadroom - 18;  // Ethernet's header, and a tag's
constexpr unsigned kMergeableBit = 15;
constexpr uint32_t kLinkTries = 350, kLinkPause_us = 10'000;  // negotiation takes some seconds on copper
constexpr uint32_t kComesBackTries = 1000, kComesBackPause_us = 10'000;

// A device with the registers that its driver uses.
struct Opened {
  UniqueFd bar;
  std::unique_ptr<driver::Registers> registers;
  std::unique_ptr<driver::Device> device;
};

void pause_for(uint32_t microseconds) { usleep(microseconds); }

Result<void> open_registers(const PciFunction& function, unsigned bar, uint32_t bytes, Opened& out) {
  auto fd = function.open_bar(bar);
  if (!fd) return fd.error();
  out.bar = std::move(*fd);
  auto registers = map_bar(out.bar.get(), bytes);
  if (!registers) return registers.error();
  out.registers = std::move(*registers);
  return {};
}

Result<driver::VirtioPlaces> places_of(const PciFunction& function) {
  auto config = function.config();
  if (!config) return config.error();
  return driver::virtio_places(*config);
}

Result<Opened> open_device(const PciFunction& function) {
  Opened out;
  if (wire::is_82540em(function.vendor(), function.device())) {
    if (auto done = open_registers(function, 0, driver::E1000Device::kBarBytes, out); !done) return done.error();
    out.device = std::make_unique<driver::E1000Device>(*out.registers);
    return out;
  }
  auto places = places_of(function);
  if (!places) return places.error();
  if (auto done = open_registers(function, places->bar, places->bar_bytes, out); !done) return done.error();
  out.device = std::make_unique<driver::VirtioNetDevice>(*out.registers, *places);
  return out;
}

// The cookie of the namespace that came with the kernel is 1 (Linux 5.14). /proc/1/ns is not for us to read.
bool in_first_namespace() {
  auto socket = control_socket();
  uint64_t cookie = 0;
  socklen_t bytes = sizeof cookie;
  return socket && getsockopt(socket->get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &bytes) == 0 && cookie == 1;
}

// Something stands on the interface that would fall with it.
std::string user_of(const std::string& interface) {
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(fmt::format("/sys/class/net/{}", interface), none)) {
    std::string name = entry.path().filename().string();
    if (name == "master") return "is a port of a bridge or bond";
    if (name.starts_with("upper_")) return fmt::format("{} stands on it", name.substr(sizeof "upper_" - 1));
  }
  return "";
}

std::string why_not(const Interface& interface, const Result<PciFunction>& function) {
  if (!function) return function.error().text;
  if (!wire::is_driven(function->vendor(), function->device()))
    return fmt::format("{}: no driver here for {:04x}:{:04x}", interface.name, function->vendor(), function->device());
#if !defined(__x86_64__)
  return fmt::format("{}: only on x86-64, whose devices see what processors write at once", interface.name);
#endif
  if (function->behind_iommu())
    return fmt::format("{}: is behind an IOMMU, which takes vfio-pci; that is not used yet", interface.name);
  if (geteuid() != 0) return fmt::format("{}: only root may drive devices; run unetmapd as root", interface.name);
  if (!in_first_namespace())
    return fmt::format("{}: is in another network namespace than its kernel driver would put it into", interface.name);
  if (std::string user = user_of(interface.name); !user.empty()) return fmt::format("{}: {}", interface.name, user);
  if (wire::is_virtio_net(function->vendor(), function->device())) {
    if (auto places = places_of(*function); !places) return fmt::format("{}: {}", interface.name, places.error().text);
    if (interface.mtu > kVirtioMtu && !function->virtio_feature(kMergeableBit))
      return fmt::format(
          "{}: its MTU is {}, and without mergeable buffers (QEMU's mrg_rxbuf=on) frames have to fit one: "
          "{} at most",
          interface.name, interface.mtu, kVirtioMtu);
  }
  if (function->driver().empty()) return fmt::format("{}: has no kernel driver to go back to", interface.name);
  return "";
}

class TakenHeld final : public Held {
 public:
  ~TakenHeld() override {
    if (!unbound) return;
    device = {};
    if (auto done = give_back(taken, memory.get()); !done) syslog(LOG_WARNING, "%s", done.error().text.c_str());
  }
  std::vector<int> descriptors() const override {
    std::vector<int> out(pairs, device.bar.get());
    out.insert(out.end(), {tap.fd.get(), memory.get(), buffers_held.get(), memory_held.get()});
    return out;
  }
  bool needs_admin() const override { return true; }

  wire::TakenDevice taken;
  uint32_t pairs = 1;
  bool unbound = false;
  UniqueFd memory, buffers_held, memory_held;
  Opened device;
  Tap tap;
};

// The memory of the device, with all that its driver has to know of netmap's buffers.
Result<mem::Mapping> make_memory(TakenHeld& held, const wire::BindRequest& request, int memfd,
                                 driver::DeviceSettings& settings) {
  auto buffers = pin(memfd, request.umem.offset, request.umem.bytes);
  if (!buffers) return buffers.error();
  uint64_t bytes = driver::memory_bytes(buffers->addresses.size());
  auto memory = mem::create("unetmap-device", bytes);
  if (!memory) return memory.error();
  auto pinned = pin(memory->get(), 0, bytes);
  if (!pinned) return pinned.error();
  auto mapping = mem::Mapping::map(memory->get(), bytes);
  if (!mapping) return mapping;
  auto* shared = new (mapping->data()) driver::Shared{};
  shared->buffer_pages = buffers->addresses.size();
  memcpy(mapping->data() + driver::kBufferPagesOffset, buffers->addresses.data(), 8 * buffers->addresses.size());
  const std::span pool =
      std::span(pinned->addresses).subspan(driver::kSharedBytes / driver::kPageBytes, driver::kPoolPages);
  settings.descriptors = driver::place_parts(pool, std::span(shared->part_page).first(driver::kDmaPages));
  for (uint32_t i = 0; i < driver::kDmaPages; i++) settings.page_addresses[i] = pool[shared->part_page[i]];
  settings.control_page = mapping->data() + driver::pool_offset(shared->part_page[driver::kControl]);
  held.memory = std::move(*memory);
  held.buffers_held = std::move(buffers->hold);
  held.memory_held = std::move(pinned->hold);
  return mapping;
}

// The stack's side: what had addresses still has them.
Result<void> put_tap_in_place(TakenHeld& held, std::vector<std::string>& said) {
  auto tap = make_tap({.name = held.taken.link.interface, .mac = held.taken.link.mac});
  if (!tap) return tap.error();
  held.tap = std::move(*tap);
  held.taken.tap_index = held.tap.interface.index;
  if (auto done = give_link_state(held.taken.link.interface, held.taken.link); !done)
    said.push_back(fmt::format("{} (while bound)", done.error().text));
  return {};
}

void describe_taken(const TakenHeld& held, uint32_t descriptors, wire::KeeperReply& reply) {
  reply.mode = wire::NicMode::kDriver;
  for (uint32_t pair = 0; pair < held.pairs; pair++) reply.queues.push_back(pair);
  reply.interface_queues = held.pairs;
  reply.interface = held.taken.link.interface;
  reply.mac = held.taken.link.mac;
  reply.mtu = held.taken.link.mtu;
  reply.ifindex = held.tap.interface.index;
  reply.up = held.taken.link.up;
  reply.multi_buffer = true;
  reply.rx_ring = reply.tx_ring = reply.fill_ring = reply.completion_ring = descriptors;
  reply.taken = held.taken;
  reply.said.push_back(fmt::format("{}: taken from its kernel driver {} ({}) while bound; a tap is in its place",
                                   reply.interface, held.taken.driver, held.taken.address));
}

}  // namespace

Result<SetUp> bind_device(const wire::BindRequest& request, const Interface& interface, int memfd) {
  auto function = PciFunction::behind(interface.name);
  if (std::string why = why_not(interface, function); !why.empty())
    return Error{EOPNOTSUPP, fmt::format("driver: {}", why)};
  auto held = std::make_unique<TakenHeld>();
  auto link = link_state(interface);
  if (!link) return link.error();
  held->taken = {function->address(), function->driver(), std::move(*link), 0};
  driver::DeviceSettings settings{
      .mac = interface.mac,
      .promiscuous = held->taken.link.promiscuous || request.promiscuous,
      .mtu = interface.mtu,
      .buffer_room = wire::kUmemChunk - wire::kUmemHeadroom,
      .pairs = queue_count(interface.name),
      .paravirt = wire::is_paravirt_e1000(function->subsystem_vendor(), function->subsystem_device())};
  auto memory = make_memory(*held, request, memfd, settings);
  if (!memory) return memory.error();
  auto* shared = reinterpret_cast<driver::Shared*>(memory->data());

  if (auto done = function->unbind(held->taken.driver); !done) return done.error();
  held->unbound = true;
  auto opened = open_device(*function);
  if (!opened) return opened.error();
  held->device = std::move(*opened);
  if (auto done = function->set_bus_master(true); !done) return done.error();
  if (auto done = held->device.device->start(settings, *shared, pause_for); !done) return done.error();
  held->pairs = shared->pair_count;
  SetUp out;
  if (auto done = put_tap_in_place(*held, out.reply.said); !done) return done.error();
  // Until then what is sent goes nowhere. A cable that is not there is waited for no longer.
  for (uint32_t i = 0; held->taken.link.up && i < kLinkTries && !held->device.device->link_up(); i++)
    pause_for(kLinkPause_us);

  describe_taken(*held, shared->descriptors, out.reply);
  out.held = std::move(held);
  return out;
}

Result<void> give_back(const wire::TakenDevice& taken, int memory) {
  auto function = PciFunction::at(taken.address);
  if (!function) return function.error();
  if (taken.driver == kNoDriver) return end_passed(*function, taken, memory);
  if (memory >= 0)
    if (auto mapping = mem::Mapping::map(memory, driver::kSharedBytes))
      reinterpret_cast<driver::Shared*>(mapping->data())->closed.store(1, std::memory_order_seq_cst);
  if (function->driver().empty()) {
    // First it touches no memory, then the memory may go.
    if (auto opened = open_device(*function)) opened->device->stop(pause_for);
    if (auto done = function->set_bus_master(false); !done) return done;
  }
  if (taken.tap_index) delete_link(taken.tap_index);
  if (function->driver().empty())
    if (auto done = function->bind(taken.driver); !done)
      return Error{done.error().code,
                   fmt::format("{}; give the interface back by hand: echo {} >/sys/bus/pci/drivers/{}/bind",
                               done.error().text, taken.address, taken.driver)};
  std::string name;
  for (uint32_t i = 0; i < kComesBackTries && (name = function->interface()).empty(); i++)
    pause_for(kComesBackPause_us);
  if (name.empty())
    return Error{ENODEV,
                 fmt::format("{}: its driver {} made no interface of it; see dmesg", taken.address, taken.driver)};
  return give_link_state(name, taken.link);
}

}  // namespace unetmap::keeper
