// SPDX-License-Identifier: BSD-2-Clause
// What monitors get: copies of whole packets, or their buffers once nobody needs them any more. A monitor that is full
// loses packets; the monitored port never waits for it and counts nothing. Copies of what arrives at a port are made by
// whoever delivers it, just before: they come whether the port's program ever looks or not.
#include "vale/deliver.hh"
#include "vale/monitors.hh"
#include "vale/slot.hh"

namespace unetmap::vale {

// Loads the packet that begins at slot `at` behind the fragments there are already. Returns its slots, those of [at,
// to) at most; good if it can be delivered.
uint32_t Forwarder::load_packet(const TxView& view, uint32_t at, uint32_t to, bool& good) {
  uint32_t count = 0, first = frags_;
  uint64_t total = 0;
  bool more = true;
  good = true;
  while (more && at != to) {
    netmap_slot slot = load_slot(view.slots[at]);
    more = slot.flags & NS_MOREFRAG;
    if (count < kMaxFrags) {
      good = check(view, slot, frag_[first + count]) && good;
      address_[first + count] = slot.ptr;
    }
    total += slot.len;
    count++;
    if (++at == view.num_slots) at = 0;
  }
  good = good && count <= kMaxFrags && total > 0 && total <= kScratchBytes;
  return count;
}

void Forwarder::deliver_loaded(const TxView& view, Supply& supply) {
  supply.still_needed = frags_;
  const bool converted = header_len_of(supply.dest.port) != header_len_;
  for (uint32_t r = 0; r < runs_; r++) {
    const Run& run = run_[r];
    if (converted) {
      for (uint32_t p = run.first; p < run.first + run.count; p = run.chain ? run.first + run.count : p + 1)
        deliver_converted(view, supply, p, run.chain ? run.count : 1);
    } else if (run.chain)
      deliver_chain(view, supply, run);
    else
      deliver_singles(view, supply, &frag_[run.first], run.count);
  }
  frags_ = runs_ = 0;
}

void Forwarder::copy_to_monitor(const TxView& view, uint32_t from, uint32_t to, uint16_t monitor, bool sent) {
  Dest* dest = current(monitor);
  if (!dest) return;
  Supply supply{*this, *dest, dest->rings[view.ring_id % dest->rings.size()], *view.kring, cells_.get()};
  supply.copies = true;
  supply.mark = sent ? NS_TXMON : 0;
  header_len_ = header_len_of(self_);
  frags_ = runs_ = 0;
  while (from != to) {
    bool good;
    uint32_t count = load_packet(view, from, to, good);
    if (good) {
      add_run(frags_, count, monitor, count > 1 || (frag_[frags_].flags & NS_INDIRECT));
      frags_ += count;
    }
    from += count;
    if (from >= view.num_slots) from -= view.num_slots;
    if (frags_ + kMaxFrags > kWindow || from == to) deliver_loaded(view, supply);
  }
  supply.finish();
  wake_readers();
}

void Forwarder::exchange_with_monitor(const TxView& view, uint32_t from, uint32_t to, uint16_t monitor, bool sent) {
  Dest* dest = current(monitor);
  if (!dest) return;
  const Exchange& ex = dest->rings[view.ring_id % dest->rings.size()];
  header_len_ = header_len_of(self_);
  if (!dest->takes_buffers || dest->bufs != view.bufs || view.offset_mask || ex.shape().offsets ||
      header_len_of(monitor) != header_len_)
    return copy_to_monitor(view, from, to, monitor, sent);
  Supply supply{*this, *dest, ex, *view.kring, cells_.get()};
  supply.copies = true;
  supply.mark = sent ? NS_TXMON : 0;
  while (from != to) {
    frags_ = runs_ = 0;
    bool good;
    uint32_t count = load_packet(view, from, to, good);
    if (good) {
      supply.still_needed = (to + view.num_slots - from) % view.num_slots;
      if (note_pieces(0, count)) {
        swap_packet(view, supply, 0, from, count);
      } else {
        add_run(0, count, monitor, true);
        frags_ = count;
        deliver_loaded(view, supply);
      }
    }
    from += count;
    if (from >= view.num_slots) from -= view.num_slots;
  }
  supply.finish();
  wake_readers();
}

bool Forwarder::watched(uint16_t port) const { return vale::watched(shared_->port[port]); }

bool Forwarder::watches(uint16_t monitor, uint16_t port) const {
  bool found = false;
  each_monitor(*shared_, shared_->port[port], [&](uint16_t other, uint32_t) { found = found || other == monitor; });
  return found;
}

// The chain is complete, and not yet delivered: nobody else has its buffers.
void Forwarder::show_arrivals(const Supply& arrived) {
  need_copier();
  each_monitor(*shared_, shared_->port[arrived.dest.port], [&](uint16_t port, uint32_t flags) {
    if (!(flags & kPortMonitorRx) || (flags & kPortZeroCopy)) return;
    // One that watches the sender, too, sees it leave.
    if ((flags & kPortMonitorTx) && watches(port, self_)) return;
    copier_->copy_arrivals(arrived, port);
  });
}

// Before anybody can answer: what watches both ends of an exchange sees its steps in their order.
void Forwarder::show_leaving(const TxView& tx, uint32_t from, uint32_t to) {
  need_copier();
  each_monitor(*shared_, shared_->port[self_], [&](uint16_t port, uint32_t flags) {
    if ((flags & kPortMonitorTx) && !(flags & kPortZeroCopy)) copier_->copy_to_monitor(tx, from, to, port, true);
  });
}

// Copies have fragments and runs of their own, as they are made in the middle of a delivery.
void Forwarder::need_copier() {
  if (!copier_) copier_ = std::make_unique<Forwarder>(shared_, self_, generation_, outside_, name_);
  copier_->cpu_ = cpu_;
}

// What the cells say was written by us, to memory that others can write to: it is checked like theirs.
void Forwarder::copy_arrivals(const Supply& arrived, uint16_t monitor) {
  Dest* to = current(monitor);
  if (!to) return;
  const Dest& from = arrived.dest;
  const ExchangeShape& shape = arrived.ex.shape();
  TxView view;
  view.buf_size = from.buf_size;
  view.nbufs = shape.nbufs;
  view.bufs = from.bufs;
  view.offset_mask = shape.offsets ? UINT64_MAX : 0;
  view.ring_id = uint16_t(&arrived.ex - from.rings.data());
  Supply supply{*this, *to, to->rings[view.ring_id % to->rings.size()], arrived.kring, cells_.get()};
  supply.copies = true;
  header_len_ = header_len_of(from.port);
  frags_ = runs_ = 0;
  uint32_t packet = 0;  // its first fragment
  uint64_t total = 0;
  bool good = true;
  for (uint32_t i = 0, cell = arrived.first; i < arrived.count && cell < shape.cells; i++) {
    uint64_t word = arrived.ex.packet(cell).load(std::memory_order_relaxed);
    netmap_slot slot{};
    slot.buf_idx = uint32_t(word) ^ (shape.base_buf + cell);
    slot.len = uint16_t(word >> CellWord::kLengthAt);
    slot.flags = uint16_t(word >> CellWord::kFlagsAt) & NS_MOREFRAG;
    slot.ptr = arrived.ex.offset_of(cell);
    cell = arrived.ex.next_of(cell, word) - 1;
    if (slot.len == 0) continue;  // void
    if (frags_ - packet < kMaxFrags)
      good = check(view, slot, frag_[frags_++]) && good;
    else
      good = false;
    total += slot.len;
    if (slot.flags & NS_MOREFRAG) continue;
    if (good && total <= kScratchBytes)
      add_run(packet, frags_ - packet, monitor, frags_ - packet > 1);
    else
      frags_ = packet;
    if (frags_ + kMaxFrags > kWindow) deliver_loaded(view, supply);
    packet = frags_;
    total = 0;
    good = true;
  }
  frags_ = packet;
  deliver_loaded(view, supply);
  supply.finish();
}

}  // namespace unetmap::vale
