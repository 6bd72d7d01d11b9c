// SPDX-License-Identifier: BSD-2-Clause
// Handing packets to a receive ring: the sender's and the receiver's half of RxExchange (see ring/layout.hh).
//
// Life of a cell: the receiver appends it to the free ring -> a sender pops it with one compare-and-swap, copies a
// packet into its buffer, links it into a chain -> pushes the chain onto the stack with one compare-and-swap -> the
// receiver takes the stack, shows the packet in a slot -> the application gives the slot back -> the free ring.
// free_head is a position that only grows, so a successful swap of it means that nobody else popped the same cells.
// A sender that dies between pop and push takes cells with it; reset() in receive.cc brings them back.
#pragma once

#include <bit>
#include <cstddef>

#include "base/lanes.hh"
#include "net/netmap.h"
#include "ring/layout.hh"

namespace unetmap::vale {

// A slot's first half, read as one number, has the form of a CellWord.
static_assert(std::endian::native == std::endian::little && offsetof(netmap_slot, buf_idx) == 0 &&
              offsetof(netmap_slot, len) * 8 == CellWord::kLengthAt &&
              offsetof(netmap_slot, flags) * 8 == CellWord::kFlagsAt);

// Numbers of one receive ring, from the daemon: trusted.
struct ExchangeShape {
  uint32_t cells = 0;      // one less than the ring has slots
  uint32_t base_buf = 0;   // buffer of cell 0 at the beginning; the others follow
  uint32_t nbufs = 0;      // of the region
  uint32_t buf_size = 0;   // bytes
  bool offsets = false;    // the port takes packets at an offset in the buffer
};

constexpr uint32_t round_up_pow2(uint32_t n) { return n <= 1 ? 1 : 1u << (32 - __builtin_clz(n - 1)); }

// Places of the free ring. Two at least: the words behind it have eight bytes.
constexpr uint32_t free_ring_size(uint32_t cells) { return round_up_pow2(cells < 2 ? 2 : cells); }

// Where in the memory of an exchange the words of the cells' packets begin.
constexpr size_t packets_at(uint32_t cells) { return sizeof(RxExchange) + sizeof(uint32_t) * free_ring_size(cells); }

constexpr size_t exchange_bytes(uint32_t cells) {
  size_t bytes = packets_at(cells) + 2 * sizeof(uint64_t) * size_t{cells};
  return (bytes + 127) & ~size_t{127};
}

// Of the virtio-net header in front of each frame of a port.
inline uint16_t header_len_of(const PortEntry& port) {
  uint16_t len = port.header_len.load(std::memory_order_relaxed);
  return len == 10 || len == 12 ? len : 0;
}

class Exchange {
 public:
  Exchange() = default;
  Exchange(void* at, const ExchangeShape& shape) : x_(static_cast<RxExchange*>(at)), shape_(shape) {
    auto* bytes = static_cast<uint8_t*>(at);
    mask_ = free_ring_size(shape.cells) - 1;
    free_ = reinterpret_cast<Atomic<uint32_t>*>(bytes + sizeof(RxExchange));
    packet_ = reinterpret_cast<Atomic<uint64_t>*>(bytes + packets_at(shape.cells));
    chain_ = packet_ + shape.cells;
  }

  RxExchange& shared() const { return *x_; }
  const ExchangeShape& shape() const { return shape_; }
  // CellWord, of each.
  Atomic<uint64_t>& packet(uint32_t id) const { return packet_[id]; }

  uint32_t free_cells() const {
    uint64_t tail = x_->free_tail.load(std::memory_order_acquire) + shape_.cells;
    uint64_t n = tail - x_->free_head.load(std::memory_order_relaxed);
    return n <= shape_.cells ? uint32_t(n) : 0;
  }

  // More cells are free than there are: senders take none of them. Not what the receiver's own taking of all looks like.
  bool overfull() const {
    uint64_t head = x_->free_head.load(std::memory_order_acquire);
    uint64_t n = x_->free_tail.load(std::memory_order_acquire) + shape_.cells - head;
    return n > shape_.cells && n <= 2 * uint64_t{shape_.cells} && x_->free_head.load(std::memory_order_relaxed) == head;
  }

  // Takes up to `want` free cells, returns how many ids it wrote to `out`. Ids that cannot be are left out.
  uint32_t pop(uint32_t want, uint32_t* out) const {
    // Acquire, here and where the swap fails: whoever sees that all was taken off the free ring sees its end as of then, too.
    uint64_t head = x_->free_head.load(std::memory_order_acquire);
    for (int attempt = 0; attempt < 64; attempt++) {
      uint64_t have = x_->free_tail.load(std::memory_order_acquire) + shape_.cells - head;
      if (have == 0) return 0;
      if (have > shape_.cells) [[unlikely]] {
        // Others may have moved the head, and the receiver the tail, between our loads of the two.
        uint64_t now = x_->free_head.load(std::memory_order_acquire);
        if (now == head) return 0;
        head = now;
        continue;
      }
      uint32_t n = want < have ? want : uint32_t(have);
      uint32_t i = 0;
      for (; n - i >= lanes::kLanes && places_in_line(head + i) >= lanes::kLanes; i += lanes::kLanes) {
        const uint32_t at = place_number(head + i);
        const lanes::Four ids = lanes::load(&free_[at]) ^ lanes::counted(at);
        if (lanes::any((ids & 0x80000000) | lanes::above(ids, lanes::all(shape_.cells - 1)))) [[unlikely]]
          break;
        lanes::store(out + i, ids);
      }
      uint32_t kept = i;
      for (; i < n; i++) {
        uint32_t at = place_number(head + i);
        out[kept] = free_[at].load(std::memory_order_relaxed) ^ at;
        kept += out[kept] < shape_.cells;
      }
      if (x_->free_head.compare_exchange_weak(head, head + n, std::memory_order_acq_rel, std::memory_order_acquire))
        return kept;
    }
    return 0;
  }

  // The buffer that goes with a popped cell; 0 if what stands there cannot be one.
  uint32_t buffer_of(uint32_t id) const {
    uint32_t buf = uint32_t(packet_[id].load(std::memory_order_relaxed)) ^ (shape_.base_buf + id);
    return buf >= 2 && buf < shape_.nbufs ? buf : 0;
  }
  uint32_t offset_of(uint32_t id) const {
    if (!shape_.offsets) return 0;
    return uint32_t(chain_[id].load(std::memory_order_relaxed) >> CellWord::kOffsetAt);
  }

  static uint64_t word_of(uint32_t named, uint16_t len, uint16_t flags) {
    return named | uint64_t{len} << CellWord::kLengthAt | uint64_t{flags} << CellWord::kFlagsAt;
  }
  void fill(uint32_t id, uint32_t buf, uint16_t len, uint16_t flags) const {
    packet_[id].store(word_of(buf ^ (shape_.base_buf + id), len, flags), std::memory_order_relaxed);
  }
  // `next` is a cell id, or -1 to end the chain. Nothing of it counts while the packet's word has CellWord::kNext.
  void link(uint32_t id, uint32_t next, uint32_t offset) const {
    chain_[id].store(uint64_t{offset} << CellWord::kOffsetAt | ((next + 1) & CellWord::kCellMask),
                     std::memory_order_relaxed);
  }
  // What follows in the chain a cell whose packet's word is `word`, + 1; 0: nothing.
  uint32_t next_of(uint32_t id, uint64_t word) const {
    if (word & CellWord::kNext) return id + 2;
    return uint32_t(chain_[id].load(std::memory_order_relaxed) & CellWord::kCellMask);
  }
  // Of the first cell of a chain: the first one of the chain that was delivered before, + 1.
  uint32_t before(uint32_t first) const {
    return uint32_t(chain_[first].load(std::memory_order_relaxed) >> CellWord::kBeforeAt & CellWord::kCellMask);
  }

  // Of a cell that is in no chain yet: its buffer is about to change places with that of the slot at `slot_at` in the
  // private memory of the region. Only for cells whose packets have no offset.
  static constexpr uint64_t kExchanging = CellWord::kCellMask;  // no cell id
  void note_exchange(uint32_t id, uint64_t slot_at) const {
    chain_[id].store(slot_at / 16 << CellWord::kBeforeAt | kExchanging, std::memory_order_relaxed);
  }
  // That place, or ~0.
  uint64_t exchanging_with(uint32_t id) const {
    uint64_t word = chain_[id].load(std::memory_order_relaxed);
    return (word & CellWord::kCellMask) == kExchanging ? (word >> CellWord::kBeforeAt) * 16 : ~uint64_t{0};
  }

  // Delivers the chain of `count` cells that begins with `first`: the commit point. Sequentially consistent, so that a reader who put
  // itself on the wait list and saw nothing is seen by the look at the list that follows.
  void push(uint32_t first, uint32_t count) const {
    uint64_t old = x_->stack.load(std::memory_order_relaxed);
    constexpr uint64_t kBefore = CellWord::kCellMask << CellWord::kBeforeAt;
    uint64_t own = chain_[first].load(std::memory_order_relaxed) & ~kBefore;
    uint64_t top;
    do {
      chain_[first].store(own | (old & CellWord::kCellMask) << CellWord::kBeforeAt, std::memory_order_relaxed);
      top = ((old >> 32) + count) << 32 | (first + 1);
    } while (!x_->stack.compare_exchange_weak(old, top, std::memory_order_seq_cst, std::memory_order_relaxed));
  }

  // --- the receiver's half ---

  bool anything() const { return x_->stack.load(std::memory_order_relaxed) != 0; }
  uint64_t take_stack() const { return x_->stack.exchange(0, std::memory_order_acquire); }

  // Position after the last free cell: the receiver alone moves it.
  uint64_t tail_position() const { return x_->free_tail.load(std::memory_order_relaxed) + shape_.cells; }
  void put_free(uint64_t position, uint32_t id) const {
    const uint32_t at = place_number(position);
    free_[at].store(id ^ at, std::memory_order_relaxed);
  }
  // For what puts many there itself: the place of the free ring at a position, its number, and how many lie side by
  // side from there on.
  uint32_t place_number(uint64_t position) const { return uint32_t(position) & mask_; }
  Atomic<uint32_t>* place_of(uint64_t position) const { return &free_[place_number(position)]; }
  uint32_t places_in_line(uint64_t position) const { return mask_ + 1 - place_number(position); }
  uint32_t free_at(uint64_t position) const {
    uint32_t at = place_number(position);
    return free_[at].load(std::memory_order_relaxed) ^ at;
  }
  void publish_free(uint64_t position) const {
    x_->free_tail.store(position - shape_.cells, std::memory_order_seq_cst);
  }
  // Takes all off the free ring, whatever stands there. What senders took was before the position that is returned; the
  // rest of what was there is the caller's. Moves free_head in any case: a sender that was about to take cells takes none.
  uint64_t take_free_ring() const {
    publish_free(x_->free_head.load(std::memory_order_relaxed));
    uint64_t head = x_->free_head.fetch_add(1, std::memory_order_acq_rel);
    publish_free(head + 1);
    return head;
  }

 private:
  RxExchange* x_ = nullptr;
  Atomic<uint32_t>* free_ = nullptr;
  Atomic<uint64_t>*packet_ = nullptr, *chain_ = nullptr;
  uint32_t mask_ = 0;
  ExchangeShape shape_;
};

}  // namespace unetmap::vale
