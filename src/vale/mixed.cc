// SPDX-License-Identifier: BSD-2-Clause
// Frames to many addresses, as a router or the uplink of a switch sends them: which port is next cannot be foreseen, so
// that each branch on it costs more than the copy of a short frame. A window of plain frames of one slot for ports that
// take them as they are is looked up at once, sorted by port, those for everybody among them, and copied lot by lot. Whatever
// else comes up makes runs of what was taken so far, and goes the way of all others.
#include <algorithm>
#include <utility>

#include "vale/deliver.hh"
#include "vale/slot.hh"

namespace unetmap::vale {

// Whether the next slots hold frames to different addresses: a few are looked at, so that one flow pays next to nothing.
bool Forwarder::begins_mixed(const TxView& tx, uint32_t at, uint32_t avail) const {
  constexpr uint32_t kLeast = 16, kLooked = 4;
  if (avail < kLeast || group_ != 0) return false;
  uint64_t first = 0;
  for (uint32_t i = 0; i < kLooked; i++) {
    uint64_t to = 0;
    if (!peek_address(tx, at + i < tx.num_slots ? at + i : at + i - tx.num_slots, to)) return false;
    if (i == 0)
      first = to;
    else if (to != first)
      return true;
  }
  return false;
}

// The packets in [at, at + n), a few that do not wrap, up to the first that is not plain: into frag_ from `taken` on, with
// the addresses they are for. Returns how many. Of rings without offsets.
[[gnu::noinline]] uint32_t Forwarder::load_mixed(const TxView& tx, uint32_t at, uint32_t n, uint32_t taken,
                                                 uint32_t now_s, uint64_t* to) {
  const uint64_t ahead = uint64_t{16} * tx.buf_size;
  const uint8_t *const bufs = tx.bufs, *const frames = bufs + header_len_;
  const uint32_t buf_size = tx.buf_size, usable = tx.nbufs - 2, shortest = header_len_ + 14u, longer = buf_size - shortest;
  const netmap_slot* const slots = tx.slots + at;
  Frag* const frag = &frag_[taken];
  uint64_t learned = learned_;
  uint32_t i = 0;
  for (; i < n; i++) {
    const uint64_t word = load_first_half(slots[i]);  // the one load of the slot; all later use is of this copy
    const uint32_t buf = uint32_t(word), len = uint16_t(word >> CellWord::kLengthAt), src = buf * buf_size;
    if ((word & kNotPlain) || buf - 2 >= usable || len - shortest > longer) [[unlikely]]
      break;
    __builtin_prefetch(frames + src + ahead);  // as if the next buffers were the next ones in memory
    const uint64_t from = load_mac(frames + src + 6);
    // Learned a little before the frames in front of it are looked up: they were for whoever is behind this port, too.
    if (from != learned) [[unlikely]] {
      if (!is_multicast(from)) fdb_.learn(from, self_, generation_, now_s);
      learned = from;
    }
    to[i] = load_mac(frames + src);
    put_frag(frag[i], word, src);
  }
  learned_ = learned;
  return i;
}

// The packets from slot `at` on, up to the first that is not plain or is for where it came from: into frag_ and port_of_.
// Returns how many. Of rings without offsets.
uint32_t Forwarder::take_mixed(const TxView& tx, uint32_t at, uint32_t most, uint32_t now_s, uint64_t& bytes) {
  uint32_t taken = 0, sum = 0;
  for (bool all = true; all && taken < most;) {
    uint64_t to[Fdb::kTogether];
    const uint32_t wanted = std::min(std::min(most - taken, Fdb::kTogether), tx.num_slots - at);
    const uint32_t n = load_mixed(tx, at, wanted, taken, now_s, to);
    uint16_t* const ports = &port_of_[taken];
    fdb_.look_up(to, n, now_s, ports);
    uint32_t i = 0;
    for (; i < n; i++) {
      if (ports[i] == kNoPort || is_multicast(to[i])) [[unlikely]]
        ports[i] = kFlood;
      else if (ports[i] == self_) [[unlikely]]
        break;
      sum += frag_[taken + i].len;
    }
    all = i == wanted;
    taken += i;
    at = at + i < tx.num_slots ? at + i : 0;
  }
  bytes += sum;
  return taken;
}

// What take_mixed() took is handled as any other window.
void Forwarder::make_runs() {
  mixed_ = false;
  for (uint32_t i = 0; i < frags_; i++) add_run(i, 1, port_of_[i], false);
}

// By one copy each, into cells of their own, with nobody who looks on.
bool Forwarder::takes_as_they_are(const TxView& tx, const Dest& dest) const {
  const Exchange& ex = dest.rings[tx.ring_id % dest.rings.size()];
  return one_cell_each(tx, dest, ex) && !watched(dest.port) && !(tx.exchanges && may_exchange(tx, dest, ex));
}

// The number of the lot for `port`, which is made if there is none; UINT32_MAX where a lot cannot be.
uint32_t Forwarder::lot_for(const TxView& tx, uint16_t port) {
  const uint32_t lot = group_index_[port];
  if (lot < groups_.size() && groups_[lot].port == port) [[likely]]
    return lot;
  Dest* const dest = current(port);
  if (!dest || !takes_as_they_are(tx, *dest)) return UINT32_MAX;
  group_index_[port] = uint16_t(groups_.size());
  groups_.push_back({port, kNoRun, kNoRun});
  lots_.push_back({dest, 0, 0});
  return group_index_[port];
}

// Makes the lots; false where a destination is not one for them, or where too much is for everybody.
bool Forwarder::sort_mixed(const TxView& tx) {
  constexpr uint16_t kNone = UINT16_MAX;
  groups_.clear();
  lots_.clear();
  everybody_.clear();
  uint32_t floods = 0, entries = 0, known = 0;
  const uint32_t frags = frags_;
  const uint16_t *const ports = port_of_.get(), *const index = group_index_.get();
  uint16_t* const lot_of = lot_of_.get();
  Lot* lots = lots_.data();  // these two have room for a window, but not for who gets what is for everybody
  const Group* const groups = groups_.data();
  for (uint32_t i = 0; i < frags; i++) {
    const uint16_t port = ports[i];
    if (port == kFlood) [[unlikely]] {
      floods++;
      lot_of[i] = kNone;
      continue;
    }
    uint32_t lot = index[port];
    if (lot >= known || groups[lot].port != port) [[unlikely]] {
      lot = lot_for(tx, port);
      if (lot == UINT32_MAX) return false;
      known = uint32_t(lots_.size());
    }
    lots[lot].count++;
    lot_of[i] = uint16_t(lot);
  }
  if (floods > 0) {
    const uint32_t ports = std::min<uint32_t>(shared_->flood_count.load(std::memory_order_acquire), kMaxPorts);
    if (frags_ + floods * uint64_t{ports} > kEntries) return false;
    for (uint32_t i = 0; i < ports; i++) {
      const uint16_t port = shared_->flood[i].load(std::memory_order_relaxed);
      if (port >= kMaxPorts || port == self_) continue;
      const uint32_t lot = lot_for(tx, port);
      if (lot == UINT32_MAX) return false;
      lots_[lot].count += floods;
      everybody_.push_back(uint16_t(lot));
    }
  }
  lots = lots_.data();
  for (Lot& lot : lots_) {
    lot.first = entries;
    entries += std::exchange(lot.count, 0);
  }
  Frag *const together = together_.get(), *const frag = frag_.get();
  uint16_t* const order = order_.get();
  auto add = [=](uint32_t i, uint32_t to) {
    const uint32_t at = lots[to].first + lots[to].count++;
    together[at] = frag[i];
    order[at] = uint16_t(i);
  };
  for (uint32_t i = 0; i < frags; i++) {
    if (lot_of[i] != kNone) [[likely]]
      add(i, lot_of[i]);
    else
      for (const uint16_t lot : everybody_) add(i, lot);
  }
  return true;
}

// How many of a lot stand before fragment `limit`.
uint32_t Forwarder::before(const Lot& lot, uint32_t limit) const {
  if (limit == frags_) return lot.count;
  const uint16_t *const begin = &order_[lot.first], *const end = begin + lot.count;
  return uint32_t(std::lower_bound(begin, end, limit) - begin);
}

// reserve_lossless() for lots.
uint32_t Forwarder::reserve_mixed(const TxView& tx, uint32_t limit, Forwarded& out) {
  for (const Lot& lot : lots_) {
    if (!(flags_of(lot.dest->port) & kPortLossless)) continue;
    const uint32_t ring = tx.ring_id % uint32_t(lot.dest->rings.size()), at = uint32_t(reserved_.size());
    const uint32_t need = before(lot, limit);
    if (need == 0) continue;
    reserved_.resize(at + need);
    const uint32_t got = lot.dest->rings[ring].pop(need, &reserved_[at]);
    reserved_.resize(at + got);
    reservations_.push_back({lot.dest->port, at, got});
    if (got == need) continue;
    limit = order_[lot.first + got];
    out.blocked = lot.dest;
    out.blocked_ring = ring;
  }
  return limit;
}

void Forwarder::deliver_mixed(const TxView& tx, uint32_t limit) {
  for (const Lot& lot : lots_) {
    const uint32_t count = before(lot, limit);
    Supply supply{*this, *lot.dest, lot.dest->rings[tx.ring_id % lot.dest->rings.size()], *tx.kring, cells_.get()};
    supply.still_needed = count;
    supply.use_reserved();
    deliver_singles(tx, supply, &together_[lot.first], count);
    supply.finish();
  }
}

}  // namespace unetmap::vale
