// SPDX-License-Identifier: BSD-2-Clause
// A port that the host of this virtual machine passes through: the keeper opens a session with the host for as long as
// programs have the port, and puts a tap in the place of the interface that there is none of. The packets' buffers are
// the device's, so nothing of ours has to stay where it is, and there is no kernel driver to go back to.
#include <fmt/format.h>
#include <sys/mman.h>
#include <syslog.h>
#include <unistd.h>

#include <fstream>
#include <new>

#include "dev/passthrough/layout.hh"
#include "driver/mapped_registers.hh"
#include "driver/passthrough/device.hh"
#include "keeper/device.hh"
#include "keeper/link_state.hh"
#include "keeper/tap.hh"
#include "mem/memfd.hh"
#include "wire/driven_devices.hh"

namespace unetmap::keeper {
namespace {

constexpr uint32_t kPassedMtu = 1500;

void sleep_for(uint32_t microseconds) { usleep(microseconds); }

// Both BARs, mapped here.
class PassedBars {
 public:
  static Result<std::unique_ptr<PassedBars>> open(const PciFunction& function);
  ~PassedBars() {
    if (memory_ != MAP_FAILED) munmap(memory_, bytes_);
    if (page_ != MAP_FAILED) munmap(page_, driver::kPageBytes);
  }
  PassedBars(const PassedBars&) = delete;
  PassedBars& operator=(const PassedBars&) = delete;
  driver::PassedDevice& device() { return *device_; }
  const passthrough::Header& header() const { return header_; }
  UniqueFd memory_bar, doorbell_bar;

 private:
  PassedBars() = default;
  void* memory_ = MAP_FAILED;
  void* page_ = MAP_FAILED;
  uint64_t bytes_ = 0;
  passthrough::Header header_{};
  std::unique_ptr<driver::MappedRegisters> registers_;
  std::unique_ptr<driver::PassedDevice> device_;
};

struct BarRange {
  uint64_t start = 0, bytes = 0;
};

// Where a BAR lies: a line of the file `resource` for each.
Result<BarRange> range_of(const PciFunction& function, unsigned bar) {
  std::ifstream file(fmt::format("/sys/bus/pci/devices/{}/resource", function.address()));
  uint64_t start = 0, end = 0, flags = 0;
  file >> std::hex;
  for (unsigned i = 0; i <= bar; i++) file >> start >> std::ws >> end >> flags;
  if (!file || start == 0 || end < start)
    return Error{ENODEV, fmt::format("{}: has no memory that was given a place; see dmesg", function.address())};
  return BarRange{start, end - start + 1};
}

Error not_mapped(const PciFunction& function) {
  Error out = Error::from_errno(errno, fmt::format("memory of {}", function.address()));
  if (out.code == EPERM) out.text += "; the kernel is locked down";
  return out;
}

Result<std::unique_ptr<PassedBars>> PassedBars::open(const PciFunction& function) {
  std::unique_ptr<PassedBars> out(new PassedBars);
  auto memory = range_of(function, passthrough::kMemoryBar), registers = range_of(function, passthrough::kRegistersBar);
  if (!memory) return memory.error();
  if (!registers) return registers.error();
  auto memory_bar = function.open_bar(passthrough::kMemoryBar),
       doorbell = function.open_bar(passthrough::kRegistersBar);
  if (!memory_bar) return memory_bar.error();
  if (!doorbell) return doorbell.error();
  out->memory_bar = std::move(*memory_bar);
  out->doorbell_bar = std::move(*doorbell);
  out->bytes_ = memory->bytes;
  out->memory_ = mmap(nullptr, out->bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, out->memory_bar.get(), 0);
  if (out->memory_ == MAP_FAILED) return not_mapped(function);
  out->page_ = mmap(nullptr, driver::kPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, out->doorbell_bar.get(), 0);
  if (out->page_ == MAP_FAILED) return not_mapped(function);
  if (out->bytes_ >= sizeof out->header_) memcpy(&out->header_, out->memory_, sizeof out->header_);
  out->registers_ = std::make_unique<driver::MappedRegisters>(out->page_, driver::kPageBytes);
  // What is mapped is the page in which the BAR lies.
  const auto doorbell_at = uint32_t(registers->start % driver::kPageBytes + passthrough::kDoorbell);
  out->device_ = std::make_unique<driver::PassedDevice>(*out->registers_, doorbell_at,
                                                        std::span(static_cast<uint8_t*>(out->memory_), out->bytes_));
  return out;
}

class PassedHeld final : public Held {
 public:
  ~PassedHeld() override {
    if (!memory) return;
    if (auto function = PciFunction::at(taken.address))
      if (auto done = end_passed(*function, taken, memory.get()); !done)
        syslog(LOG_WARNING, "%s", done.error().text.c_str());
  }
  std::vector<int> descriptors() const override {
    std::vector<int> out(pairs, bars->memory_bar.get());
    out.insert(out.end(), {tap.fd.get(), memory.get(), bars->doorbell_bar.get(), bars->doorbell_bar.get()});
    return out;
  }
  bool needs_admin() const override { return true; }

  wire::TakenDevice taken;
  uint32_t pairs = 1;
  std::unique_ptr<PassedBars> bars;
  UniqueFd memory;
  Tap tap;
};

std::string obstacle_to(const PciFunction& function) {
#if !defined(__x86_64__)
  return "only on x86-64";
#endif
  if (geteuid() != 0) return "only root may map devices; run unetmapd as root";
  if (std::string driver = function.driver(); !driver.empty())
    return fmt::format("the kernel driver {} has it; take it away: echo {} >/sys/bus/pci/drivers/{}/unbind", driver,
                       function.address(), driver);
  return "";
}

}  // namespace

Result<SetUp> bind_passed(const wire::BindRequest& request, uint32_t number) {
  const std::string& name = request.interface;
  auto functions = wire::passed_functions();
  auto function = PciFunction::at(functions[number]);
  if (!function) return function.error();
  if (std::string why = obstacle_to(*function); !why.empty())
    return Error{EOPNOTSUPP, fmt::format("{}: {}: {}", name, function->address(), why)};
  // Its memory answers from now on; it does not write to any of ours.
  if (auto done = function->set_bus_master(false); !done) return done.error();
  auto bars = PassedBars::open(*function);
  if (!bars) return bars.error();
  auto held = std::make_unique<PassedHeld>();
  held->bars = std::move(*bars);
  auto memory = mem::create("unetmap-device", driver::memory_bytes(0));
  if (!memory) return memory.error();
  auto mapping = mem::Mapping::map(memory->get(), driver::memory_bytes(0));
  if (!mapping) return mapping.error();
  auto* shared = new (mapping->data()) driver::Shared{};
  if (auto done = held->bars->device().start({}, *shared, sleep_for); !done)
    return Error{done.error().code, fmt::format("{}: {}: {}", name, function->address(), done.error().text)};
  held->pairs = shared->pair_count;
  wire::MacAddress mac;
  std::copy(std::begin(held->bars->header().mac), std::end(held->bars->header().mac), mac.begin());
  held->taken = {function->address(), kNoDriver, {name, mac, kPassedMtu, true, false, {}}, 0};
  held->memory = std::move(*memory);  // from now on there is something to be ended
  auto tap = make_tap({.name = name, .mac = mac});
  if (!tap) return tap.error();
  held->tap = std::move(*tap);
  held->taken.tap_index = held->tap.interface.index;
  SetUp out;
  if (auto done = give_link_state(name, held->taken.link); !done) return done.error();
  out.reply.mode = wire::NicMode::kDriver;
  const passthrough::Layout layout{shared->descriptors, shared->pair_count};
  for (uint32_t pair = 0; pair < layout.pairs; pair++) out.reply.queues.push_back(pair);
  out.reply.interface_queues = layout.pairs;
  out.reply.device_buffers = {layout.buffers_at(), layout.buffers(), passthrough::kBufferBytes};
  out.reply.interface = name;
  out.reply.mac = mac;
  out.reply.mtu = kPassedMtu;
  out.reply.ifindex = held->tap.interface.index;
  out.reply.up = true;
  out.reply.multi_buffer = true;
  out.reply.rx_ring = out.reply.tx_ring = out.reply.fill_ring = out.reply.completion_ring = shared->descriptors;
  out.reply.taken = held->taken;
  out.reply.said.push_back(fmt::format("{}: the port that the host passes through at {}", name, function->address()));
  out.held = std::move(held);
  return out;
}

Result<void> end_passed(const PciFunction& function, const wire::TakenDevice& taken, int memory) {
  if (memory >= 0)
    if (auto mapping = mem::Mapping::map(memory, driver::kSharedBytes))
      reinterpret_cast<driver::Shared*>(mapping->data())->closed.store(1, std::memory_order_seq_cst);
  auto bars = PassedBars::open(function);
  if (bars) (*bars)->device().stop(sleep_for);
  if (taken.tap_index) delete_link(taken.tap_index);
  if (!bars) return bars.error();
  return {};
}

}  // namespace unetmap::keeper
