// SPDX-License-Identifier: BSD-2-Clause
// For tests: memory that a device model and a driver here share, each page somewhere else for the device, and netmap
// rings in it.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <optional>
#include <random>
#include <vector>

#include "driver/control.hh"
#include "driver/queue.hh"
#include "guest/guest_memory.hh"

namespace unetmap::driver {

using Bytes = std::vector<uint8_t>;

inline Bytes frame_of(uint32_t seed, size_t count) {
  Bytes out(count);
  std::minstd_rand random(seed + 1);
  for (uint8_t& byte : out) byte = uint8_t(random() >> 7);
  const uint8_t head[] = {0x52, 0x54, 0, 0x12, 0x34, 0x56, 0x02, 0, 0, 0, 0, 1, 0x88, 0xb5};
  memcpy(out.data(), head, std::min(count, sizeof head));
  return out;
}

// The device's rings of 64; buffers of 2048 bytes that begin 256 bytes into their piece, as those of interfaces do.
class TestMachine {
 public:
  static constexpr uint32_t kSlots = 64, kBufs = 2 * kSlots + 4, kBufSize = 2048, kHeadroom = 256;
  static constexpr uint32_t kBufferPages = kBufs * kBufSize / kPageBytes + 1;
  static constexpr uint32_t kPages = kDmaPages + kBufferPages;

  TestMachine() : fd_(memfd_create("machine", MFD_CLOEXEC)) {
    std::vector<uint32_t> order(kPages);
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), std::minstd_rand(7));
    if (ftruncate(fd_.get(), off_t{kPages} * kPageBytes) < 0) std::abort();
    void* at = mmap(nullptr, size_t{kPages} * kPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
    if (at == MAP_FAILED) std::abort();
    base_ = static_cast<uint8_t*>(at);
    for (uint32_t i = 0; i < kPages; i++) {
      // No two touch: what crosses a page is in no memory.
      addresses_.push_back(0x10'0000 + uint64_t{order[i]} * 2 * kPageBytes);
      if (!memory.add({addresses_[i], kPageBytes, addresses_[i], uint64_t{i} * kPageBytes}, fd_.get())) std::abort();
    }
    for (uint32_t i = 0; i < kSlots; i++) {
      tx_slots_[i].buf_idx = 2 + i;
      rx_slots_[i].buf_idx = 2 + kSlots + i;
    }
  }
  ~TestMachine() { munmap(base_, size_t{kPages} * kPageBytes); }
  TestMachine(const TestMachine&) = delete;
  TestMachine& operator=(const TestMachine&) = delete;

  // Has its netmap buffers elsewhere: its slots those from `first` on.
  void use(const BufferMemory& memory, uint32_t first) {
    elsewhere_ = memory;
    for (uint32_t i = 0; i < kSlots; i++) {
      tx_slots_[i] = {.buf_idx = first + i, .len = 0, .flags = 0, .ptr = 0};
      rx_slots_[i] = {.buf_idx = first + kSlots + i, .len = 0, .flags = 0, .ptr = 0};
    }
  }
  BufferMemory buffers() const {
    if (elsewhere_) return *elsewhere_;
    return {base_ + size_t{kDmaPages} * kPageBytes + kHeadroom,
            kBufs,
            kBufSize,
            kHeadroom,
            addresses_.data() + kDmaPages,
            kBufferPages};
  }
  Ring tx_ring(uint64_t offset_mask = 0) { return {tx_slots_, kSlots, offset_mask, buffers()}; }
  Ring rx_ring() { return {rx_slots_, kSlots, 0, buffers()}; }
  uint8_t* dma_page(uint32_t page) const { return base_ + size_t{page} * kPageBytes; }
  uint8_t* buffer(uint32_t index) const { return buffers().at(index); }
  DeviceSettings settings() const {
    DeviceSettings out{.mac = {0x52, 0x54, 0, 0x12, 0x34, 0x56}, .descriptors = kSlots};
    std::copy_n(addresses_.begin(), kDmaPages, out.page_addresses.begin());
    return out;
  }

  // As a program fills slots: the frame in pieces of these sizes, the last takes the rest. The number of slots.
  uint32_t fill(uint32_t at, const Bytes& frame, const std::vector<uint32_t>& cuts = {}, uint32_t offset = 0) {
    size_t done = 0;
    uint32_t n = 0;
    for (; done < frame.size(); n++) {
      netmap_slot& slot = tx_slots_[(at + n) % kSlots];
      size_t part = n < cuts.size() ? std::min<size_t>(cuts[n], frame.size() - done) : frame.size() - done;
      memcpy(buffer(slot.buf_idx) + offset, &frame[done], part);
      slot.len = uint16_t(part);
      slot.ptr = offset;
      done += part;
      slot.flags = done < frame.size() ? NS_MOREFRAG : 0;
    }
    return n;
  }
  // What a program finds in a slot.
  Bytes shown(uint32_t at) const {
    const netmap_slot& slot = rx_slots_[at % kSlots];
    return {buffer(slot.buf_idx), buffer(slot.buf_idx) + slot.len};
  }
  // Whether each buffer stands in one slot.
  bool buffers_stand_once() const {
    std::vector<uint32_t> seen(kBufs);
    for (const auto* slots : {tx_slots_, rx_slots_})
      for (uint32_t i = 0; i < kSlots; i++) seen[slots[i].buf_idx]++;
    return std::all_of(seen.begin() + 2, seen.begin() + 2 + 2 * kSlots, [](uint32_t n) { return n == 1; });
  }

  guest::GuestMemory memory;
  netmap_slot tx_slots_[kSlots] = {}, rx_slots_[kSlots] = {};
  Shared shared{};

 private:
  UniqueFd fd_;
  uint8_t* base_ = nullptr;
  std::vector<uint64_t> addresses_;
  std::optional<BufferMemory> elsewhere_;
};

// A netmap ring pair over the two queues, as krings keep it.
struct TestRings {
  TxQueue& tx;
  RxQueue& rx;
  uint32_t tx_cur = 0, tx_tail = TestMachine::kSlots - 1, tx_head = 0;
  uint32_t rx_head = 0, rx_tail = 0;
  Tally sent{}, received{};

  void sync_tx(bool recover = false) { tx.sync(sent, tx_cur, tx_tail, tx_head, recover); }
  void sync_rx(bool recover = false) { rx.sync(received, rx_head, rx_tail, recover); }
  uint32_t room() const { return (tx_tail + TestMachine::kSlots - tx_head) % TestMachine::kSlots; }
};

// A process that is killed at a register access.
struct Killed {};

}  // namespace unetmap::driver
