// SPDX-License-Identifier: BSD-2-Clause
#include "keeper/device.hh"

#include <fmt/format.h>
#include <syslog.h>
#include <unistd.h>

#include <new>
#include <optional>
#include <span>

#include "driver/control.hh"
#include "driver/e1000/device.hh"
#include "driver/virtio_net/device.hh"
#include "keeper/access.hh"
#include "keeper/link_state.hh"
#include "keeper/machine_sleep.hh"
#include "keeper/pinned.hh"
#include "keeper/tap.hh"
#include "mem/memfd.hh"
#include "wire/device_ways.hh"
#include "wire/driven_devices.hh"

namespace unetmap::keeper {
namespace {

constexpr uint32_t kVirtioMtu = wire::kUmemChunk - wire::kUmemHeadroom - 18;  // Ethernet's header, and a tag's
constexpr unsigned kMergeableBit = 15;
constexpr uint32_t kLinkTries = 350, kLinkPause_us = 10'000;  // negotiation takes some seconds on copper
constexpr uint32_t kComesBackTries = 1000, kComesBackPause_us = 10'000;

// Where a device finds its memory, where addresses are ours to choose: far from those of interrupts.
constexpr uint64_t kMemoryAt = uint64_t{1} << 32, kBuffersAt = uint64_t{2} << 32;

// A device with the registers that its driver uses. Ends from the last member to the first.
struct Opened {
  std::unique_ptr<DeviceAccess> access;
  UniqueFd bar;
  uint64_t bar_offset = 0;
  std::unique_ptr<driver::Registers> registers;
  std::unique_ptr<driver::Device> device;
};

void pause_for(uint32_t microseconds) { usleep(microseconds); }

Result<void> open_registers(unsigned bar, uint32_t bytes, Opened& out) {
  auto fd = out.access->bar_file(bar, out.bar_offset);
  if (!fd) return fd.error();
  out.bar = std::move(*fd);
  auto registers = map_bar(out.bar.get(), out.bar_offset, bytes);
  if (!registers) return registers.error();
  out.registers = std::move(*registers);
  return {};
}

Result<driver::VirtioPlaces> places_of(const PciFunction& function) {
  auto config = function.config();
  if (!config) return config.error();
  return driver::virtio_places(*config);
}

// Its registers answer from here on, but it touches no memory.
Result<Opened> open_device(const PciFunction& function, wire::DeviceWay way) {
  Opened out;
  auto access = DeviceAccess::open(function, way);
  if (!access) return access.error();
  out.access = std::move(*access);
  if (auto done = out.access->set_bus_master(false); !done) return done.error();
  if (wire::is_e1000(function.vendor(), function.device())) {
    const auto kind = driver::e1000_kind(function.device());
    if (!kind) return Error{ENOTSUP, fmt::format("{}: no driver here for this card", function.address())};
    if (auto done = open_registers(0, driver::E1000Device::kBarBytes, out); !done) return done.error();
    out.device = std::make_unique<driver::E1000Device>(*out.registers, *kind);
    return out;
  }
  auto places = places_of(function);
  if (!places) return places.error();
  if (auto done = open_registers(places->bar, places->bar_bytes, out); !done) return done.error();
  out.device = std::make_unique<driver::VirtioNetDevice>(*out.registers, *places);
  return out;
}

std::string why_not(const Interface& interface, const Result<PciFunction>& function) {
  if (!function) return function.error().text;
  if (!wire::is_driven(function->vendor(), function->device()))
    return fmt::format("{}: no driver here for {:04x}:{:04x}", interface.name, function->vendor(), function->device());
#if !defined(__x86_64__)
  return fmt::format("{}: only on x86-64, whose devices see what processors write at once", interface.name);
#endif
  if (geteuid() != 0) return fmt::format("{}: only root may drive devices; run unetmapd as root", interface.name);
  if (!wire::in_first_namespace())
    return fmt::format("{}: is in another network namespace than its kernel driver would put it into", interface.name);
  if (std::string user = wire::user_of_interface(interface.name); !user.empty())
    return fmt::format("{}: {}", interface.name, user);
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

void close_to_programs(int memory) {
  if (memory < 0) return;
  if (auto mapping = mem::Mapping::map(memory, driver::kSharedBytes))
    reinterpret_cast<driver::Shared*>(mapping->data())->closed.store(1, std::memory_order_seq_cst);
}

class TakenHeld final : public Held {
 public:
  ~TakenHeld() override {
    if (!unbound) return;
    close_to_programs(memory.get());
    stop();
    if (unplugged) {
      if (taken.tap_index) delete_link(taken.tap_index);
      return;
    }
    if (auto done = give_back(taken, memory.get()); !done) syslog(LOG_WARNING, "%s", done.error().text.c_str());
  }
  std::vector<int> descriptors() const override {
    std::vector<int> out(pairs, device.bar.get());
    // Where an IOMMU is between them the device's own descriptor holds its memory.
    out.insert(out.end(), {tap.fd.get(), memory.get(), (buffers_held ? buffers_held : memory).get(),
                           (memory_held ? memory_held : memory).get()});
    for (const UniqueFd& bell : bells.of_pair) out.push_back(bell.get());
    if (bells.let_through) out.push_back(bells.let_through.get());
    return out;
  }
  // The device touches no memory any more, and is let go of.
  void stop() {
    if (device.device && !unplugged) device.device->stop(pause_for);
    if (device.access) (void)device.access->set_bus_master(false);
    bells = {};
    device = {};
  }
  bool needs_admin() const override { return true; }
  int news() const override { return device.access ? (asleep ? asleep->fd() : device.access->news()) : -1; }
  std::string going() override {
    unplugged = unplugged || (device.access && device.access->unplugged());
    if (unplugged) return "its device was unplugged";
    if (!asleep || !asleep->due() || !device.device || (device.device->running() && !asleep->slept())) return "";
    return "its device was reset, as by a machine that sleeps (suspend); open it again";
  }

  wire::TakenDevice taken;
  uint32_t pairs = 1;
  bool unbound = false, unplugged = false;
  UniqueFd memory, buffers_held, memory_held;
  Opened device;
  std::optional<MachineSleep> asleep;
  Bells bells;
  Tap tap;
};

std::vector<uint64_t> pages_from(uint64_t address, uint64_t bytes) {
  std::vector<uint64_t> out(bytes / driver::kPageBytes);
  for (size_t i = 0; i < out.size(); i++) out[i] = address + i * driver::kPageBytes;
  return out;
}

// The memory of the device, with all that its driver has to know of netmap's buffers. `translated`: at addresses that
// we choose; else where it is in the machine.
Result<mem::Mapping> make_memory(TakenHeld& held, const wire::BindRequest& request, int memfd, bool translated,
                                 driver::DeviceSettings& settings) {
  const uint64_t buffer_pages = request.umem.bytes / driver::kPageBytes, bytes = driver::memory_bytes(buffer_pages);
  Pinned buffers{{}, pages_from(kBuffersAt, request.umem.bytes)}, pinned{{}, pages_from(kMemoryAt, bytes)};
  auto memory = mem::create("unetmap-device", bytes);
  if (!memory) return memory.error();
  if (!translated) {
    auto held_buffers = pin(memfd, request.umem.offset, request.umem.bytes);
    if (!held_buffers) return held_buffers.error();
    auto held_memory = pin(memory->get(), 0, bytes);
    if (!held_memory) return held_memory.error();
    buffers = std::move(*held_buffers);
    pinned = std::move(*held_memory);
  }
  auto mapping = mem::Mapping::map(memory->get(), bytes);
  if (!mapping) return mapping;
  auto* shared = new (mapping->data()) driver::Shared{};
  shared->buffer_pages = buffer_pages;
  memcpy(mapping->data() + driver::kBufferPagesOffset, buffers.addresses.data(), 8 * buffer_pages);
  const std::span pool =
      std::span(pinned.addresses).subspan(driver::kSharedBytes / driver::kPageBytes, driver::kPoolPages);
  settings.descriptors = driver::place_parts(pool, std::span(shared->part_page).first(driver::kDmaPages));
  for (uint32_t i = 0; i < driver::kDmaPages; i++) settings.page_addresses[i] = pool[shared->part_page[i]];
  settings.control_page = mapping->data() + driver::pool_offset(shared->part_page[driver::kControl]);
  held.memory = std::move(*memory);
  held.buffers_held = std::move(buffers.hold);
  held.memory_held = std::move(pinned.hold);
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

// What the device is bound to is held.taken.way's driver by then, and it runs when this is done.
Result<void> start_device(TakenHeld& held, const PciFunction& function, const wire::BindRequest& request, int memfd,
                          bool translated, driver::DeviceSettings settings, driver::Shared& shared) {
  auto opened = open_device(function, held.taken.way);
  if (!opened) return opened.error();
  held.device = std::move(*opened);
  DeviceAccess& access = *held.device.access;
  if (translated) {
    // Of its own memory only what it is meant to see.
    constexpr uint64_t kPool = driver::pool_offset(0), kPoolBytes = driver::kPoolPages * driver::kPageBytes;
    if (auto done = access.let_reach(kMemoryAt + kPool, held.memory.get(), kPool, kPoolBytes); !done) return done;
    if (auto done = access.let_reach(kBuffersAt, memfd, request.umem.offset, request.umem.bytes); !done) return done;
  }
  const bool of_pairs = wire::is_virtio_net(function.vendor(), function.device());
  auto bells = access.interrupts(std::min(settings.pairs, driver::kMostPairs), of_pairs);
  if (!bells) return bells.error();
  held.bells = std::move(*bells);
  if (auto done = access.set_bus_master(true); !done) return done;
  settings.interrupts = held.bells.kind;
  settings.vectors = held.bells.vectors;
  if (auto done = held.device.device->start(settings, shared, pause_for); !done) return done;
  shared.interrupts = held.bells.kind;
  shared.bar_offset = held.device.bar_offset;
  held.pairs = shared.pair_count;
  if (held.bells.of_pair.size() > held.pairs) held.bells.of_pair.resize(held.pairs);
  return {};
}

// One way of having it. When it fails, no driver has the device.
Result<void> take(TakenHeld& held, const PciFunction& function, wire::DeviceWay way, const wire::BindRequest& request,
                  int memfd, bool translated, driver::DeviceSettings settings) {
  auto memory = make_memory(held, request, memfd, translated, settings);
  if (!memory) return memory.error();
  if (!held.unbound)
    if (auto done = function.unbind(held.taken.driver); !done) return done.error();
  held.unbound = true;
  held.taken.way = way;
  const std::string driver = wire::way_driver(way);
  auto work = [&]() -> Result<void> {
    if (!driver.empty()) {
      if (auto done = function.reserve(driver); !done) return done;
      if (auto done = function.bind(driver); !done) return done;
    }
    return start_device(held, function, request, memfd, translated, settings,
                        *reinterpret_cast<driver::Shared*>(memory->data()));
  };
  auto done = work();
  if (done) return {};
  held.stop();
  if (!driver.empty() && function.driver() == driver) (void)function.unbind(driver);
  return done;
}

// By the best way that is to be had. `why` the better ones were not.
Result<void> take_best(TakenHeld& held, const PciFunction& function, const wire::BindRequest& request, int memfd,
                       const driver::DeviceSettings& settings, std::vector<std::string>& why) {
  const wire::WayFacts facts = wire::look_at_ways(function.address());
  Error last{EOPNOTSUPP, ""};
  for (wire::DeviceWay way : wire::kDeviceWays) {
    std::string obstacle = wire::obstacle(way, facts);
    if (obstacle.empty()) {
      auto done =
          take(held, function, way, request, memfd, way == wire::DeviceWay::kVfio && facts.translated(), settings);
      if (done) return {};
      last.code = done.error().code;
      obstacle = done.error().text;
    }
    why.push_back(fmt::format("{}: {}", wire::way_name(way), obstacle));
  }
  last.text = fmt::format("{}: {}", held.taken.link.interface, fmt::join(why, "; "));
  return last;
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
  reply.interrupts = uint32_t(held.bells.of_pair.size() + (held.bells.let_through ? 1 : 0));
  reply.said.push_back(
      fmt::format("{}: taken from its kernel driver {} ({}) while bound, by {}, {}; a tap is in its place",
                  reply.interface, held.taken.driver, held.taken.address, wire::way_name(held.taken.way),
                  reply.interrupts ? "with interrupts" : "polled"));
}

// From whoever kept it for us. It touches no memory when this is done, and no driver has it. vfio-pci lets nobody take
// it before all programs have let go of it, and stops it then; so do they when they find it closed.
Result<void> take_away(const PciFunction& function, wire::DeviceWay way) {
  const std::string kept_by = wire::way_driver(way), now = function.driver();
  if (!now.empty() && now != kept_by) return {};  // it is back
  if (kept_by != "vfio-pci" || now.empty()) {
    if (auto opened = open_device(function, wire::DeviceWay::kSysfs)) opened->device->stop(pause_for);
    if (auto done = function.set_bus_master(false); !done && now.empty()) return done;
  }
  if (!now.empty())
    if (auto done = function.unbind(now); !done) return done;
  return function.reserve("");
}

}  // namespace

Result<SetUp> bind_device(const wire::BindRequest& request, const Interface& interface, int memfd) {
  auto function = PciFunction::behind(interface.name);
  if (std::string why = why_not(interface, function); !why.empty())
    return Error{EOPNOTSUPP, fmt::format("driver: {}", why)};
  auto held = std::make_unique<TakenHeld>();
  auto link = link_state(interface);
  if (!link) return link.error();
  held->taken = {.address = function->address(), .driver = function->driver(), .link = std::move(*link)};
  driver::DeviceSettings settings{
      .mac = interface.mac,
      .promiscuous = held->taken.link.promiscuous || request.promiscuous,
      .mtu = interface.mtu,
      .buffer_room = wire::kUmemChunk - wire::kUmemHeadroom,
      .pairs = queue_count(interface.name),
      .paravirt = wire::is_paravirt_e1000(function->subsystem_vendor(), function->subsystem_device())};
  SetUp out;
  if (auto done = take_best(*held, *function, request, memfd, settings, out.reply.why); !done) return done.error();
  auto asleep = MachineSleep::watch(held->device.access->news());
  if (!asleep) return asleep.error();
  held->asleep = std::move(*asleep);
  if (auto done = put_tap_in_place(*held, out.reply.said); !done) return done.error();
  // Until then what is sent goes nowhere. A cable that is not there is waited for no longer.
  for (uint32_t i = 0; held->taken.link.up && i < kLinkTries && !held->device.device->link_up(); i++)
    pause_for(kLinkPause_us);

  auto mapping = mem::Mapping::map(held->memory.get(), driver::kSharedBytes);
  if (!mapping) return mapping.error();
  describe_taken(*held, reinterpret_cast<driver::Shared*>(mapping->data())->descriptors, out.reply);
  out.held = std::move(held);
  return out;
}

Result<void> give_back(const wire::TakenDevice& taken, int memory) {
  auto function = PciFunction::at(taken.address);
  if (!function) return function.error();
  if (taken.driver == kNoDriver) return end_passed(*function, taken, memory);
  close_to_programs(memory);
  if (auto done = take_away(*function, taken.way); !done) return done;
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
