// SPDX-License-Identifier: BSD-2-Clause
#include "ring_setup.hh"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

namespace unetmap::model {
namespace {

SwitchShared* the_switch() {
  static auto* the = static_cast<SwitchShared*>(mmap(nullptr, sizeof(SwitchShared), PROT_READ | PROT_WRITE,
                                                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  return the;
}

// A sender's packets are numbered.
constexpr uint32_t packet(uint32_t sender, uint32_t number) { return (sender + 1) << 16 | number; }

}  // namespace

RingSetup::RingSetup(uint32_t cells)
    : shared(the_switch()),
      cells_(cells),
      exchange_memory_(aligned_alloc(128, vale::exchange_bytes(cells))),
      slots_(cells + 1),
      cell_of_(new Atomic<uint32_t>[cells + 1] {}),
      own_(new Atomic<uint32_t>[cells + 1] {}),
      payload_(new Atomic<uint32_t>[nbufs()] {}) {
  memset(exchange_memory_, 0, vale::exchange_bytes(cells));
  for (uint32_t i = 0; i < kSenders; i++) {
    PortEntry& port = shared->port[i];
    for (Atomic<uint32_t>& seq : port.tx_seq) seq.store(0, Order::relaxed);
    port.generation.store(2 * i + 1, Order::relaxed);
    port.rx_rings.store(1, Order::relaxed);
    // One ring each is used.
    quiet(&port.tx_seq[1], sizeof port.tx_seq - sizeof port.tx_seq[0]);
    quiet(&port.rx_rings, sizeof port.rx_rings);
    quiet(&port.header_len, sizeof port.header_len);
  }
  shared->port_limit.store(kSenders, Order::relaxed);
  quiet(&shared->port_limit, sizeof shared->port_limit);
  // What only the holder of the ring's lock touches.
  quiet(&kring, sizeof kring);
  quiet(cell_of_.get(), 4 * (cells + 1));
  quiet(own_.get(), 4 * (cells + 1));
  for (uint32_t i = 2 + cells; i < nbufs(); i++) spare_.push_back(i);
}

RingSetup::~RingSetup() { free(exchange_memory_); }

vale::RxView RingSetup::view() {
  return {slots_.data(), cells_ + 1, &kring, cell_of_.get(), own_.get(), exchange(), 0, nullptr};
}

uint32_t RingSetup::send(uint32_t sender, uint32_t packets, Bell* bell) {
  vale::Exchange ex = exchange();
  uint32_t cells[8];
  enter_sync(shared->port[sender].tx_seq[0]);
  const uint32_t n = ex.pop(packets, cells);
  for (uint32_t i = 0; i < n; i++) {
    uint32_t buf = ex.buffer_of(cells[i]);
    check(buf != 0, "a free cell names no buffer");
    payload_[buf].store(packet(sender, next_[sender] + i), Order::relaxed);
    const bool stretch = i + 1 < n && cells[i + 1] == cells[i] + 1;
    const uint16_t next = stretch ? uint16_t(CellWord::kNext >> CellWord::kFlagsAt) : 0;
    ex.fill(cells[i], buf, kLength, uint16_t(1 << NS_PORT_SHIFT | next));
    if (!stretch) ex.link(cells[i], i + 1 < n ? cells[i + 1] : UINT32_MAX, 0);
  }
  if (n > 0) {
    // Told before, as who dies behind its push has sent.
    next_[sender] += n;
    ex.push(cells[0], n);
    if (somebody_waits(ex.shared().readers))
      take_waiters(ex.shared().readers, [&](uint32_t) {
        if (bell) bell->ring();
        return true;
      });
  }
  leave_sync(shared->port[sender].tx_seq[0]);
  return n;
}

void RingSetup::read_slot(uint32_t at) {
  const netmap_slot& slot = slots_[at];
  check(slot.len == kLength, "a packet of another length");
  check(slot.buf_idx >= 2 && slot.buf_idx < nbufs(), "a slot without a buffer");
  uint32_t seen = payload_[slot.buf_idx].load(Order::relaxed);
  uint32_t sender = (seen >> 16) - 1, number = seen & 0xffff;
  check(sender < kSenders, "a buffer that nobody has filled");
  check(number < next_[sender], "a packet that was not sent");
  check(loses ? number >= got_[sender] : number == got_[sender], "a packet twice, or out of order");
  got_[sender] = number + 1;
}

bool RingSetup::Process::sync(bool give_up) {
  RingSetup& s = setup;
  uint32_t hwcur = s.kring.hwcur.load(Order::relaxed), hwtail = s.kring.hwtail.load(Order::relaxed), freed = 0;
  if (s.head != hwcur) {
    if (s.swaps_buffers && !s.spare_.empty()) {
      for (uint32_t at = hwcur; at != s.head; at = (at + 1) % (s.cells_ + 1)) {
        s.spare_.insert(s.spare_.begin(), s.slots_[at].buf_idx);
        s.slots_[at].buf_idx = s.spare_.back();
        s.spare_.pop_back();
      }
    }
    freed = receiver.give_back(hwcur, s.head);
    s.kring.hwcur.store(hwcur = s.head, Order::relaxed);
  }
  if (resetting()) receiver.reset_step(hwtail, hwcur, give_up);
  hwtail = receiver.take(hwtail, hwcur);
  const uint32_t before = s.kring.hwtail.load(Order::relaxed);
  s.kring.hwtail.store(hwtail, Order::relaxed);
  for (uint32_t at = before; at != hwtail; at = (at + 1) % (s.cells_ + 1)) s.read_slot(at);
  s.head = hwtail;
  return freed > 0;
}

void RingSetup::ask_for_audit() {
  auto& wanted = exchange().shared().reset_wanted;
  wanted.store(wanted.load(Order::relaxed) + 1, Order::release);
}

void RingSetup::forget_port(uint32_t sender) {
  auto& generation = shared->port[sender].generation;
  generation.store(generation.load(Order::relaxed) + 1, Order::release);
}

void RingSetup::check_whole() {
  Process last(*this);
  check(!last.resetting(), "an audit is pending though nobody is there");
  last.sync();
  last.sync();
  vale::Exchange ex = exchange();
  uint64_t at = ex.shared().free_head.load(Order::relaxed);
  check(ex.tail_position() - at == cells_, "not all cells came back");
  std::set<uint32_t> ids, buffers(spare_.begin(), spare_.end());
  for (uint32_t i = 0; i < cells_; i++) {
    uint32_t id = ex.free_at(at + i);
    check(id < cells_ && ids.insert(id).second, "a cell is free twice");
    uint32_t buf = ex.buffer_of(id);
    check(buf == ((own_[id].load(Order::relaxed) & ~vale::kInRing) ^ (2 + id)), "a free cell names another buffer than it has");
    check(buffers.insert(buf).second, "a buffer is in two places");
  }
  check(kring.lost_corrupt.load(Order::relaxed) == 0, "a cell or chain was refused though nobody wrote garbage");
  check(!ex.shared().spoiled.load(Order::relaxed), "a cell was found doubled though nobody wrote garbage");
}

void RingSetup::check_all_came() {
  for (uint32_t i = 0; i < kSenders; i++) check(got_[i] == next_[i], "a packet that was sent did not come");
}

}  // namespace unetmap::model
