// SPDX-License-Identifier: BSD-2-Clause
// The memory of one device in mode `driver`: what those who sync its rings share, and the pages that the device reads
// and writes. Made by the keeper, which fills in the first part; mapped by programs that have a ring of it.
//
//   Shared, in whole pages                what the drivers know: the device is told of none of it
//   kPoolPages pages                      descriptors and their like, each part where part_page says
//   u64 of each page of netmap's buffers  where the device finds it
//
// A ring's state is written by who holds its lock. Each step first says what it is about to make of the device's index
// (step, giving: index of the next descriptor in the low half, slot in the high one), then moves that. So who takes the
// lock over from a dead holder sees whether that step happened. virtio's step has where it began, too, 16 bits each.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <type_traits>

#include "driver/hardware.hh"

namespace unetmap::driver {

// Of a ring, 16 bytes each: in pages that are neighbours for the device, where such were found, else in one page.
constexpr uint32_t kMostDescriptors = 1024, kDescriptorsOfPage = 256;
constexpr uint32_t kPartPages = 4;  // of the largest part of a ring
constexpr uint32_t kMostPairs = 8;  // of rings of one device

enum class Model : uint32_t { kE1000 = 1, kVirtioNet = 2, kPassthrough = 3 };

struct TxState {
  std::atomic<uint64_t> step;
  std::atomic<uint32_t>
      in_flight[kMostDescriptors];  // by slot: 0, or its (packet's) descriptor + 1; and a mark of e1000's
  // Of virtio: used elements looked at; descriptors that are free; of each packet in flight, by its first descriptor,
  // how many slots and (above 16 bits) descriptors it has, its first slot, and by each descriptor the one that follows.
  std::atomic<uint32_t> used, free_count;
  std::atomic<uint32_t> returning;  // of a packed ring: the packet (its descriptor + 1) that is being taken back
  std::atomic<uint32_t> free_ids[kMostDescriptors];
  std::atomic<uint32_t> chain[kMostDescriptors], chain_slot[kMostDescriptors], following[kMostDescriptors];
};

struct RxState {
  std::atomic<uint64_t> giving, given;  // next descriptor or available index | next slot whose buffer goes out
  std::atomic<uint64_t> taken;          // next one that comes back | hwtail
  std::atomic<uint32_t> posted[kMostDescriptors];  // by descriptor: buffer + 1
  std::atomic<uint32_t> ids[kMostDescriptors];     // virtio: descriptors that are free, in the order of their next use
  // virtio: where the parts of a packet are being moved, index + 1 of its first descriptor; 0: nowhere.
  std::atomic<uint32_t> moving;
  // Buffers of two slots change places: to be done again if `swapping`.
  std::atomic<uint32_t> swapping, slot_a, slot_b, buf_a, buf_b;
};

constexpr uint64_t pack(uint32_t index, uint32_t slot) { return index | uint64_t{slot} << 32; }

struct PairState {
  TxState tx;
  RxState rx;
  uint32_t tx_notify, rx_notify;  // virtio: where queues are kicked; passed through: the doorbell, in the other BAR
};

// What a virtio device and its driver agreed on.
enum VirtioWay : uint32_t { kPackedRings = 1, kEventIndex = 2, kMergeableBuffers = 4 };

// How the device's interrupts come, where somebody sleeps.
enum class Interrupts : uint32_t {
  kNone,
  kMessages,    // for each pair, or for several
  kOneMessage,  // for the device
  // A line, which the kernel masks when it has come, and whoever wants the next one lets through again: by an eventfd,
  // or by the bit in the PCI function's command word.
  kLineOfVfio,
  kLineOfUio
};
constexpr bool is_line(Interrupts kind) { return kind == Interrupts::kLineOfVfio || kind == Interrupts::kLineOfUio; }

struct Shared {
  Model model;
  uint32_t descriptors;  // of each ring, a power of two, kMostDescriptors at most; the slots of a passed-through port
  uint32_t bar_bytes;
  Interrupts interrupts;
  uint64_t bar_offset;  // of the BAR in the file by which it is mapped
  uint32_t isr_at;      // virtio: what tells why the line is asserted, and is read to release it; 0: none
  uint32_t pair_count;
  uint32_t virtio_ways;
  uint32_t e1000_kind;           // E1000Kind
  uint32_t block;                // e1000-paravirt: not 0, the card looks at the block
  uint32_t session;              // passed through: that of the host's which the rings are in
  uint32_t most_bytes;           // of a packet
  uint64_t headers_address;      // virtio: the device's address of page kHeaders, which stays zero
  uint64_t buffer_pages;         // behind the pages of DmaPage
  std::atomic<uint32_t> rung;    // passed through: the host's request to be woken that was answered last
  std::atomic<uint32_t> closed;  // not 0: the device is another's by now, hands off
  uint32_t part_page[64];        // by DmaPage: the page of the pool that it begins with
  PairState pairs[kMostPairs];
};

// Of the first pair of rings; page_of() finds those of others. "Available" and "used" are virtio's names of split
// rings: in packed ones the pages have what the driver and the device want to be notified of.
enum DmaPage : uint32_t {
  kTxDescriptors,
  kTxAvailable,
  kTxUsed,
  kRxDescriptors,
  kRxAvailable,
  kRxUsed,
  kPagesOfPair,
  kHeaders = kPagesOfPair * kMostPairs,
  kControl,  // virtio: the control queue and its one command; e1000-paravirt: its block
  kDmaPages
};
constexpr uint32_t page_of(uint32_t pair, DmaPage page) { return pair * kPagesOfPair + page; }

constexpr uint64_t kSharedBytes = (sizeof(Shared) + kPageBytes - 1) / kPageBytes * kPageBytes;
constexpr uint32_t kPoolPages = 512;
static_assert(kDmaPages <= std::extent_v<decltype(Shared::part_page)> && kDmaPages * kPartPages <= kPoolPages);
constexpr uint64_t pool_offset(uint32_t page) { return kSharedBytes + uint64_t{page} * kPageBytes; }
constexpr uint64_t kBufferPagesOffset = pool_offset(kPoolPages);
// Finds a place for each part in the pool, whose pages the device finds at these addresses. The descriptors that rings
// can have: kMostDescriptors where each part has neighbours, else kDescriptorsOfPage.
uint32_t place_parts(std::span<const uint64_t> addresses, std::span<uint32_t> part_page);
constexpr uint64_t memory_bytes(uint64_t buffer_pages) {
  return (kBufferPagesOffset + 8 * buffer_pages + kPageBytes - 1) / kPageBytes * kPageBytes;
}

}  // namespace unetmap::driver
