// SPDX-License-Identifier: BSD-2-Clause
#include "balancer.hh"

#include <algorithm>
#include <cstring>

#include "parts/flow_hash.hh"

namespace unetmap::lb {
namespace {

// Slots of the packet at the front of a queue.
uint32_t front_slots(const Pipe& pipe) {
  uint32_t count = 0;
  while (count < pipe.queue.size() && (pipe.queue[count++].flags & NS_MOREFRAG)) {
  }
  return count;
}

void copy(const RingView& rx, uint32_t at, uint32_t from, const RingView& to, uint32_t to_buffer, uint64_t to_offset,
          uint16_t bytes) {
  memcpy(to.buffer(to_buffer) + to_offset, rx.buffer(from) + rx.offset(at), bytes);
}

}  // namespace

bool Pipe::ask_for_more() const {
  const uint32_t room = ring->space();
  if (queue.empty() && room + 1 >= ring->num_slots()) return false;
  ring->want_more(queue.empty() ? room : too_few);
  return true;
}

void Balancer::load(const RingView& rx, uint32_t available, Chain& chain) const {
  chain.count = chain.bytes = 0;
  chain.complete = false;
  for (uint32_t at = rx.head(); chain.count < std::min(available, Chain::kMaxSlots) && !chain.complete;
       at = rx.next(at)) {
    chain.slots[chain.count] = rx.load(at);
    chain.bytes += chain.slots[chain.count].len;
    chain.complete = !(chain.slots[chain.count++].flags & NS_MOREFRAG);
  }
}

bool Balancer::valid(const RingView& rx, const Chain& chain) const {
  uint32_t at = rx.head();
  for (uint32_t i = 0; i < chain.count; i++, at = rx.next(at)) {
    const SlotCopy& slot = chain.slots[i];
    if (!rx.valid_buffer(slot.buf_idx) || rx.offset(at) + slot.len > rx.buf_size()) return false;
  }
  return chain.complete;
}

uint32_t Balancer::take(RingView& rx, uint32_t limit) {
  uint32_t taken = 0;
  Chain chain;
  uint32_t available = rx.space();
  while (available > 0 && taken < limit) {
    load(rx, available, chain);
    // A chain cut off by tail is still being delivered, unless the ring cannot take more of it.
    if (!chain.complete && chain.count < Chain::kMaxSlots && available + 1 < rx.num_slots()) {
      rx.publish();
      rx.want_more(available);
      return taken;
    }
    totals_.received++;
    if (valid(rx, chain)) {
      const SlotCopy& first = chain.slots[0];
      const auto* bytes = reinterpret_cast<const uint8_t*>(rx.buffer(first.buf_idx) + rx.offset(rx.head()));
      const auto hash = parts::flow_hash({bytes, first.len});
      totals_.non_ip += !hash;
      for (Group& group : groups_) deal(rx, chain, group[hash.value_or(0) % group.size()], &group == &groups_.back());
    } else {
      totals_.malformed++;
    }
    rx.skip(chain.count);
    available -= chain.count;
    taken++;
  }
  rx.publish();
  return taken;
}

void Balancer::deal(RingView& rx, const Chain& chain, Pipe& pipe, bool last) {
  bool fits = chain.count < pipe.ring->num_slots();
  for (uint32_t i = 0; i < chain.count; i++) fits = fits && chain.slots[i].len <= pipe.ring->buf_size();
  const uint32_t room = pipe.ring->space();
  // Nothing overtakes what is queued.
  const bool first = pipe.queue.empty();
  if (fits && first && room >= chain.count) {
    send(rx, chain, pipe, last);
  } else if (!fits || !enqueue(rx, chain, pipe, last)) {
    pipe.dropped++;
    return;
  } else if (first) {
    pipe.too_few = room;
  }
  pipe.packets++;
  pipe.bytes += chain.bytes;
}

void Balancer::send(RingView& rx, const Chain& chain, Pipe& pipe, bool last) {
  uint32_t from = rx.head(), to = pipe.ring->head();
  const bool swap = pipe.swap && last && !rx.offset_mask() && !pipe.ring->offset_mask();
  for (uint32_t i = 0; i < chain.count; i++, from = rx.next(from), to = pipe.ring->next(to)) {
    const SlotCopy& slot = chain.slots[i];
    netmap_slot& target = pipe.ring->slot(to);
    const SlotCopy had = pipe.ring->load(to);
    if (swap) {
      rx.slot(from).buf_idx = had.buf_idx;
      rx.slot(from).flags = NS_BUF_CHANGED;
      target.buf_idx = slot.buf_idx;
    } else if (pipe.ring->valid_buffer(had.buf_idx) && pipe.ring->offset(to) + slot.len <= pipe.ring->buf_size()) {
      copy(rx, from, slot.buf_idx, *pipe.ring, had.buf_idx, pipe.ring->offset(to), slot.len);
    }
    target.len = slot.len;
    target.flags = uint16_t((slot.flags & NS_MOREFRAG) | (swap ? NS_BUF_CHANGED : 0));
  }
  pipe.ring->skip(chain.count);
}

bool Balancer::enqueue(RingView& rx, const Chain& chain, Pipe& pipe, bool last) {
  if (rx.offset_mask() || !find_free(chain.count)) return false;
  home_ = &rx;
  uint32_t from = rx.head();
  for (uint32_t i = 0; i < chain.count; i++, from = rx.next(from)) {
    SlotCopy slot = chain.slots[i];
    const uint32_t spare = free_.back();
    free_.pop_back();
    if (last) {
      rx.slot(from).buf_idx = spare;
      rx.slot(from).flags = NS_BUF_CHANGED;
    } else {
      copy(rx, from, slot.buf_idx, rx, spare, 0, slot.len);
      slot.buf_idx = spare;
    }
    pipe.queue.push_back(slot);
  }
  return true;
}

// Free buffers, if need be from the longest queue: newer packets are worth more than old ones, and a reader that has
// stopped does not keep all buffers.
bool Balancer::find_free(uint32_t count) {
  while (free_.size() < count) {
    Pipe* longest = nullptr;
    for (Group& group : groups_) {
      for (Pipe& pipe : group) {
        if (!longest || pipe.queue.size() > longest->queue.size()) longest = &pipe;
      }
    }
    if (longest->queue.empty()) return false;
    drop_oldest(*longest);
  }
  return true;
}

uint32_t Balancer::drop_oldest(Pipe& pipe) {
  const uint32_t slots = front_slots(pipe);
  for (uint32_t i = 0; i < slots; i++) {
    free_.push_back(pipe.queue.front().buf_idx);
    pipe.bytes -= pipe.queue.front().len;
    pipe.queue.pop_front();
  }
  pipe.packets--;
  pipe.dropped++;
  return slots;
}

// The next slot of a pipe, with what a buffer of ours has.
void Balancer::fill(Pipe& pipe, const SlotCopy& slot) {
  const uint32_t at = pipe.ring->head();
  netmap_slot& target = pipe.ring->slot(at);
  const SlotCopy had = pipe.ring->load(at);
  const bool swap = pipe.swap && !pipe.ring->offset_mask();
  if (swap) {
    free_.push_back(had.buf_idx);
    target.buf_idx = slot.buf_idx;
  } else {
    if (pipe.ring->valid_buffer(had.buf_idx) && pipe.ring->offset(at) + slot.len <= pipe.ring->buf_size())
      memcpy(pipe.ring->buffer(had.buf_idx) + pipe.ring->offset(at), home_->buffer(slot.buf_idx), slot.len);
    free_.push_back(slot.buf_idx);
  }
  target.len = slot.len;
  target.flags = uint16_t((slot.flags & NS_MOREFRAG) | (swap ? NS_BUF_CHANGED : 0));
}

void Balancer::drain() {
  for (Group& group : groups_) {
    for (Pipe& pipe : group) {
      while (!pipe.queue.empty()) {
        const uint32_t slots = front_slots(pipe);
        pipe.too_few = pipe.ring->space();
        if (pipe.too_few < slots) break;
        for (uint32_t i = 0; i < slots; i++) {
          const SlotCopy slot = pipe.queue.front();
          pipe.queue.pop_front();
          fill(pipe, slot);
          pipe.ring->skip(1);
        }
      }
    }
  }
}

void Balancer::publish() {
  for (Group& group : groups_) {
    for (Pipe& pipe : group) pipe.ring->publish();
  }
}

Totals Balancer::totals() const {
  Totals out = totals_;
  for (const Group& group : groups_) {
    for (const Pipe& pipe : group) {
      out.forwarded += pipe.packets;
      out.dropped += pipe.dropped;
    }
  }
  return out;
}

void Balancer::drop_queues() {
  for (Group& group : groups_) {
    for (Pipe& pipe : group) {
      while (!pipe.queue.empty()) drop_oldest(pipe);
    }
  }
}

}  // namespace unetmap::lb
