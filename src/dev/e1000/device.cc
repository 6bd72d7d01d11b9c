// SPDX-License-Identifier: BSD-2-Clause
#include "dev/e1000/device.hh"

#include <algorithm>

#include "dev/e1000/parts.hh"

namespace unetmap::e1000 {
namespace {

constexpr int kMostLoops = 16;  // batches of frames that a card in loopback takes back in one fetch

// The 32-bit words that an access touches, with the part of each.
template <class F>
void each_word(uint64_t offset, size_t bytes, F&& f) noexcept {
  for (size_t done = 0; done < bytes;) {
    const uint64_t at = offset + done;
    const auto into = static_cast<unsigned>(at % 4);
    const size_t step = std::min<size_t>(4 - into, bytes - done);
    f(at - into, into, done, step);
    done += step;
  }
}

}  // namespace

Device::Device(const Config& config, const guest::GuestMemory& memory)
    : parts_(std::make_unique<Parts>(config, memory)) {}
Device::~Device() = default;

void Device::reset() noexcept {
  parts_->state.counters.resets++;
  parts_->state.pci.reset();
  parts_->state.phy.power_on();
  parts_->io_address = 0;
  parts_->msix_table = {};
  parts_->reset_mac();
}

void Device::advance(uint64_t now_ns) noexcept {
  State& state = parts_->state;
  state.now_ns = std::max(state.now_ns, now_ns);
  if (now_ns >= state.phy.deadline_ns()) {
    state.phy.advance(now_ns);
    parts_->look_at_link();
  }
  if (now_ns >= state.irq.deadline_ns()) state.irq.advance(now_ns);
  if (state.memory.broken()) [[unlikely]]
    state.breaks(Fault::kMemoryBroken);
}

uint64_t Device::deadline_ns() const noexcept {
  return std::min(parts_->state.irq.deadline_ns(), parts_->state.phy.deadline_ns());
}

uint64_t Device::bar_bytes(unsigned bar) const noexcept { return parts_->state.pci.bar_bytes(bar); }

void Device::read_config(uint32_t offset, std::span<uint8_t> out) const noexcept {
  parts_->state.pci.read(offset, out, parts_->state.irq.line());
}

void Device::write_config(uint32_t offset, std::span<const uint8_t> bytes) noexcept {
  PciConfig& pci = parts_->state.pci;
  const bool powered = pci.powered();
  pci.write(offset, bytes);
  // From D3 a function comes back as from a reset: PCI Power Management 1.2, 5.4.1.
  if (!powered && pci.powered()) {
    parts_->state.counters.resets++;
    parts_->reset_mac();
  }
}

void Device::read_bar(unsigned bar, uint64_t offset, std::span<uint8_t> out) noexcept {
  Parts& parts = *parts_;
  const uint64_t size = bar_bytes(bar);
  each_word(offset, out.size(), [&](uint64_t at, unsigned into, size_t done, size_t step) {
    uint32_t value = 0;
    if (at >= size) {
      value = 0;
    } else if (bar == static_cast<unsigned>(Bar::kMemory)) {
      parts.state.counters.register_reads++;
      value = parts.read(static_cast<uint32_t>(at));
    } else if (bar == static_cast<unsigned>(Bar::kIo)) {
      parts.state.counters.register_reads++;
      if (at == 0) value = parts.io_address;
      if (at == 4) value = parts.io_address < bar_bytes(0) ? parts.read(parts.io_address & ~3u) : 0;
    } else if (at < parts.msix_table.size()) {
      value = load_once<uint32_t>(&parts.msix_table[at]);
    }
    uint8_t bytes[4];
    store<uint32_t>(bytes, value);
    std::memcpy(&out[done], bytes + into, step);
  });
}

void Device::write_bar(unsigned bar, uint64_t offset, std::span<const uint8_t> bytes) noexcept {
  Parts& parts = *parts_;
  const uint64_t size = bar_bytes(bar);
  each_word(offset, bytes.size(), [&](uint64_t at, unsigned, size_t done, size_t step) {
    if (at >= size) return;
    if (step != 4) {
      parts.state.counters.odd_accesses++;
      return;
    }
    const auto value = load_once<uint32_t>(&bytes[done]);
    if (bar == static_cast<unsigned>(Bar::kMsix)) {
      if (at < parts.msix_table.size()) store<uint32_t>(&parts.msix_table[at], value);
      return;
    }
    parts.state.counters.register_writes++;
    if (bar == static_cast<unsigned>(Bar::kMemory))
      parts.write(static_cast<uint32_t>(at), value);
    else if (at == 0)
      parts.io_address = value;
    else if (at == 4 && parts.io_address < bar_bytes(0))
      parts.write(parts.io_address & ~3u, value);
  });
}

bool Device::bus_master() const noexcept { return parts_->state.pci.bus_master(); }

bool Device::line() const noexcept {
  const State& state = parts_->state;
  return state.irq.line() && !state.pci.intx_disabled() && state.pci.powered();
}

uint32_t Device::take_vectors() noexcept { return parts_->state.irq.take_vectors(); }

size_t Device::fetch(std::span<TxFrame> frames) noexcept {
  Parts& parts = *parts_;
  State& state = parts.state;
  for (int loops = 0; loops < kMostLoops; loops++) {
    const size_t count = parts.transmit.fetch(frames);
    if (count == 0) return 0;
    const bool back = state.loopback();
    if (!back && state.link()) return count;
    for (size_t i = 0; i < count; i++) {
      if (!back)
        state.counters.drop(Drop::kTxLinkDown);
      else if (parts.receive.deliver(frames[i].hdr, frames[i].pieces) == Delivery::kNoBuffers)
        state.counters.drop(Drop::kTxLoopbackFull);
    }
    parts.receive.finish();
    parts.transmit.complete(count);
  }
  return 0;
}

void Device::complete(size_t accepted) noexcept { parts_->transmit.complete(accepted); }

Delivery Device::deliver(const vale::VnetHdr& hdr, std::span<const Source> pieces) noexcept {
  State& state = parts_->state;
  if (state.loopback()) [[unlikely]] {  // hears itself only
    state.counters.drop(Drop::kRxDisabled);
    return Delivery::kDropped;
  }
  return parts_->receive.deliver(hdr, pieces);
}

void Device::finish() noexcept { parts_->receive.finish(); }
void Device::missed(uint64_t frames) noexcept { parts_->receive.missed(frames); }
bool Device::receiving() const noexcept { return parts_->receive.receiving() && !parts_->state.loopback(); }
bool Device::arm_transmit() noexcept { return parts_->transmit.arm(); }
bool Device::arm_receive() noexcept { return parts_->receive.arm(); }

void Device::disarm() noexcept {
  parts_->transmit.disarm();
  parts_->receive.disarm();
}

bool Device::shares_block() const noexcept { return parts_->state.shared; }

void Device::set_link(bool up) noexcept {
  parts_->state.phy.set_cable(up, parts_->state.now_ns);
  parts_->look_at_link();
}

const Counters& Device::counters() const noexcept {
  parts_->state.counters.interrupts = parts_->state.irq.raised();
  return parts_->state.counters;
}

Fault Device::fault() const noexcept { return parts_->state.fault; }

}  // namespace unetmap::e1000
