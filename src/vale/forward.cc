// SPDX-License-Identifier: BSD-2-Clause
// Step one of forwarding, what goes where, and the order of all. Step two, whether there is room, is in reserve.cc, step
// three in deliver.cc.
#include "vale/forward.hh"

#include <algorithm>

#include "vale/deliver.hh"
#include "vale/slot.hh"

namespace unetmap::vale {

// How far ahead what the table has of frames' addresses is asked for: their buffers are here by then.
constexpr uint32_t kEntriesAhead = 4;
static_assert(kEntriesAhead < kBuffersAhead);

Forwarder::Forwarder(SwitchShared* shared, uint16_t self, uint32_t generation, Outside& outside, const char* name)
    : shared_(shared),
      fdb_(shared),
      self_(self),
      generation_(generation),
      outside_(outside),
      name_(name),
      frag_(new Frag[kWindow]),
      together_(new Frag[kEntries]),
      address_(new uint64_t[kWindow]),
      run_(new Run[kWindow]),
      port_of_(new uint16_t[kWindow]),
      lot_of_(new uint16_t[kWindow]),
      order_(new uint16_t[kEntries]),
      group_index_(new uint16_t[kMaxPorts]()),
      cells_(new uint32_t[kWindow]) {
  groups_.reserve(kWindow);
  lots_.reserve(kWindow);
}

uint16_t Forwarder::header_len_of(uint16_t port) const { return vale::header_len_of(shared_->port[port]); }

bool Forwarder::check(const TxView& tx, const netmap_slot& slot, Frag& frag) const {
  uint64_t offset = slot.ptr & tx.offset_mask;
  frag.len = slot.len;
  frag.flags = slot.flags;
  if (slot.flags & NS_INDIRECT) return true;
  if (slot.buf_idx < 2 || slot.buf_idx >= tx.nbufs || offset > tx.buf_size || slot.len > tx.buf_size - offset)
    return false;
  frag.src = uint32_t(slot.buf_idx * uint64_t{tx.buf_size} + offset);
  return true;
}

void Forwarder::add_run(uint32_t first, uint32_t count, uint16_t dest, bool chain, uint16_t form) {
  if (!chain && runs_ > 0) {
    Run& last = run_[runs_ - 1];
    if (!last.chain && last.dest == dest && uint32_t(last.first + last.count) == first && last.form == form &&
        (dest != kFlood || !lists_)) {
      last.count = uint16_t(last.count + count);
      return;
    }
  }
  run_[runs_++] = {uint16_t(first), uint16_t(count), dest, kNoRun, chain, form};
}

// What the fence says of the packet in frag_[first, first + count): 0, or why it is refused.
uint16_t Forwarder::judge(const TxView& tx, uint32_t first, uint32_t count) {
  uint8_t start[Fence::kLooksAt + 12];
  uint32_t have = 0, total = 0;
  for (uint32_t i = first; i < first + count; i++) {
    uint32_t part = std::min<uint32_t>(frag_[i].len, uint32_t(sizeof start) - have);
    if (!(frag_[i].flags & NS_INDIRECT))
      memcpy(start + have, tx.bufs + frag_[i].src, part);
    else if (part > 0 && !outside_.read_user(address_[i], start + have, part))
      return kUnreadable;
    have += part;
    total += frag_[i].len;
  }
  switch (fence_.judge({start + header_len_, have - header_len_}, total - header_len_)) {
    case Fence::Verdict::kPass:
      return 0;
    case Fence::Verdict::kSpoofed:
      return kSpoofed;
    case Fence::Verdict::kTooFast:
      return kTooFast;
  }
  return 0;
}

// Where the packet in frag_[first, first + count) goes; learns where its sender is.
uint16_t Forwarder::decide(const TxView& tx, uint32_t first, uint32_t count, uint32_t now_s) {
  if (fenced_) [[unlikely]]
    if (uint16_t why = judge(tx, first, count)) return why;
  const Frag& frag = frag_[first];
  uint8_t copied[12 + 12];
  const uint8_t* start = tx.bufs + frag.src;
  const uint32_t wanted = header_len_ + 12u;
  if (frag.len < wanted || (frag.flags & NS_INDIRECT)) {
    // The addresses are elsewhere, or spread: a hypervisor sends the virtio-net header in a slot of its own.
    for (uint32_t i = first, have = 0; i < first + count && have < wanted; i++) {
      uint32_t part = std::min<uint32_t>(frag_[i].len, wanted - have);
      if (!(frag_[i].flags & NS_INDIRECT))
        memcpy(copied + have, tx.bufs + frag_[i].src, part);
      else if (!outside_.read_user(address_[i], copied + have, part))
        return kUnreadable;
      have += part;
    }
    start = copied;
  }
  const uint8_t* ethernet = start + header_len_;
  uint64_t to = load_mac(ethernet), from = load_mac(ethernet + 6);
  if (from != learned_ && !(frag.flags & NS_NO_LEARN) && !is_multicast(from)) {
    fdb_.learn(from, self_, generation_, now_s);
    learned_ = from;
  }
  uint16_t override_port = frag.flags >> NS_PORT_SHIFT;
  uint16_t port = override_port ? override_port : is_multicast(to) ? kFlood : fdb_.lookup(to, now_s);
  if (port == kNoPort) return kFlood;
  if (group_ != 0 && port < kMaxPorts && port != self_ && group_of(port) == group_) [[unlikely]]
    return kIsolated;
  return port == self_ ? kDiscard : port;
}

// A packet of several slots, or with its data elsewhere, beginning at slot `at`. Returns the slots it takes; 0 if it
// has to begin a window of its own. `last`: what is known of the packet before, and then of this one; nullptr where
// each one is looked at for itself.
uint32_t Forwarder::classify_chain(const TxView& tx, uint32_t at, uint32_t avail, uint32_t now_s, Alike* last) {
  uint32_t count = 0, first = frags_;
  bool good = true, ended = false;
  uint64_t total = 0;
  while (count < avail && !ended) {
    uint64_t half = load_first_half(tx.slots[at]);
    Frag spare, &frag = count < kMaxFrags ? frag_[first + count] : spare;
    if (tx.offset_mask == 0 && !(half >> CellWord::kFlagsAt & NS_INDIRECT)) [[likely]] {
      const uint32_t buf = uint32_t(half);
      put_frag(frag, half, buf * tx.buf_size);
      good = good && buf - 2 < tx.nbufs - 2 && frag.len <= tx.buf_size;
    } else {
      const netmap_slot slot = load_slot(tx.slots[at]);  // what was seen before is not used
      good = check(tx, slot, frag) && good;
      if (count < kMaxFrags) address_[first + count] = slot.ptr;
    }
    ended = !(frag.flags & NS_MOREFRAG);
    total += frag.len;
    count++;
    if (++at == tx.num_slots) at = 0;
  }
  // Ends in the middle, has too many slots, or is no frame.
  bool sane = ended && count <= kMaxFrags && total >= header_len_ + 14u && total <= kScratchBytes;
  if (!good || !sane) {
    if (first > 0) return 0;
    refuse_slots(tx, good, count, total);
    return count;
  }
  frags_ += count;
  chain_frags_ += count;
  bytes_ += total;
  packets_++;
  uint16_t dest;
  Alike now;
  if (last && begins_plain(tx, frag_[first], now)) {
    if (last->dest != kDiscard && last->low == now.low && last->high == now.high)
      dest = last->dest;
    else
      dest = decide(tx, first, count, now_s);
    *last = {now.low, now.high, dest};
  } else {
    if (last) last->dest = kDiscard;
    dest = ruled_ ? decide_by_rules(tx, first, count, now_s) : decide(tx, first, count, now_s);
  }
  add_run(first, count, dest, true, form_);
  return count;
}

// Whether a packet that begins with `frag` goes where another one went that has the same addresses, which then are in
// `to`.
bool Forwarder::begins_plain(const TxView& tx, const Frag& frag, Alike& to) const {
  if (frag.flags & (0xff00 | NS_NO_LEARN | NS_INDIRECT) || frag.len < header_len_ + 12u) return false;
  const uint8_t* const ethernet = tx.bufs + frag.src + header_len_;
  memcpy(&to.low, ethernet, sizeof to.low);
  memcpy(&to.high, ethernet + sizeof to.low, sizeof to.high);
  return true;
}

// What begins at the window's next slot is no packet.
void Forwarder::refuse_slots(const TxView& tx, bool good, uint32_t slots, uint64_t bytes) {
  drop(good ? tx.kring->lost_malformed : tx.kring->lost_buffer, kNoPort, good ? TapCause::kMalformed : TapCause::kBuffer);
  skipped_ += slots;
  if (!tapped_) [[likely]]
    return;
  told_->head.cause = good ? TapCause::kMalformed : TapCause::kBuffer;
  told_->head.frame_bytes = uint32_t(std::min<uint64_t>(bytes, UINT32_MAX));
  told_->frags = good ? std::min(slots, kMaxFrags) : 0;
}

// The packets of one slot in [at, at + most) up to the first that is not alike in its addresses, or not plain: into
// frag_ from `frags` on. Returns how many. Of rings without offsets.
template <class High>
[[gnu::noinline]] uint32_t Forwarder::take_alike(const TxView& tx, uint32_t at, uint32_t most, uint32_t shortest,
                                                 uint32_t frags, uint64_t low, High high, uint64_t& bytes) {
  const uint8_t *const bufs = tx.bufs, *const frames = bufs + header_len_;
  const uint32_t buf_size = tx.buf_size, usable = tx.nbufs - 2, longer = buf_size - shortest;
  const netmap_slot *const begin = tx.slots + at, *const end = begin + most, *slot = begin;
  const uint64_t ahead = uint64_t{kBuffersAhead} * buf_size;
  Frag* frag = &frag_[frags];
  uint64_t sum = 0;
  for (; slot != end; slot++) {
    const uint64_t word = load_first_half(*slot);
    const uint32_t buf = uint32_t(word), len = uint16_t(word >> CellWord::kLengthAt), src = buf * buf_size;
    if ((word & kNotPlain) || buf - 2 >= usable || len - shortest > longer) [[unlikely]]
      break;
    // As if the next buffers were the next ones in memory: so they are where no program exchanges some.
    __builtin_prefetch(frames + src + ahead);
    uint64_t here_low;
    High here_high;
    memcpy(&here_low, frames + src, sizeof here_low);
    memcpy(&here_high, frames + src + sizeof here_low, sizeof here_high);
    if (here_low != low || here_high != high) [[unlikely]]
      break;
    put_frag(*frag++, word, src);
    sum += len;
  }
  bytes += sum;
  return uint32_t(slot - begin);
}

// The frame in slot `at` will be looked up soon, where that slot is to be sent and its frame here already.
inline void Forwarder::ask_for_entries(const TxView& tx, uint32_t at) const {
  if (uint64_t to = 0; peek_address(tx, at, to)) fdb_.ask_for(to);
}

// Fills frag_ and run_ from the slots in [hwcur, head), up to a window; one packet where there is a tap. Returns the
// slots looked at. Refused packets only ever stand at its beginning, so that fragment i is in slot hwcur + skipped_ +
// i.
template <bool kTapped, bool kRuled>
uint32_t Forwarder::classify(const TxView& tx, uint32_t hwcur, uint32_t head, uint32_t now_s) {
  uint32_t window = kTapped ? 1 : kWindow;  // a constant without a tap
  frags_ = runs_ = skipped_ = 0;
  bytes_ = packets_ = chain_frags_ = 0;
  if constexpr (kRuled) denied_.clear();
  uint32_t avail = head >= hwcur ? head - hwcur : head + tx.num_slots - hwcur, at = hwcur, done = 0;
  uint64_t last_low = 0;
  // Two packets alike in these go the same way; with rules the VLAN tag is among them.
  using High = std::conditional_t<kRuled, uint64_t, uint32_t>;
  High last_high = 0;
  uint16_t last_dest = kDiscard;
  const uint32_t shortest = header_len_ + 14u;
  uint64_t bytes = 0;
  // Whether packets that begin as the last one did need no look of their own.
  const uint32_t alike_shortest = kRuled ? header_len_ + kLeastTagged : shortest;
  const bool alike_ways = !kTapped && !fenced_ && tx.offset_mask == 0 && tx.buf_size > alike_shortest;
  const bool alike_chains = !kTapped && !kRuled && !fenced_;
  // Single-slot packets for one destination gather in [run_first, frags); the rest of the state is written back, and
  // the run added, before anything else is done with them.
  uint32_t frags = 0, run_first = 0;
  bool follows = false;  // the last packet began as the one before
  bool chains_alike = false;  // and it was one of several slots
  auto end_run = [&] {
    if (frags > run_first) add_run(run_first, frags - run_first, last_dest, false, kRuled ? form_ : 0);
    run_first = frags_ = frags;
  };
  mixed_ = false;
  if (!kRuled && alike_ways && begins_mixed(tx, hwcur, avail)) {
    const uint32_t taken = take_mixed(tx, hwcur, std::min(avail, window), now_s, bytes);
    run_first = frags_ = frags = done = taken;
    at += taken;
    if (at >= tx.num_slots) at -= tx.num_slots;
    mixed_ = taken == std::min(avail, window);
    if (!mixed_) make_runs();
  }
  while (done < avail && frags < window) {
    if (follows && alike_ways && last_dest != kDiscard && !(kRuled && lists_ && last_dest == kFlood)) {
      const uint32_t most = std::min(std::min(avail - done, window - frags), tx.num_slots - at);
      const uint32_t alike = !(kRuled && listed_) ? take_alike(tx, at, most, alike_shortest, frags, last_low, last_high, bytes)
                             : covered_           ? take_covered(tx, at, most, frags, last_low, last_high, bytes)
                                                  : 0;
      frags += alike;
      done += alike;
      at += alike;
      if (at == tx.num_slots) at = 0;
      if (done == avail || frags == window) break;
    }
    netmap_slot slot = load_slot(tx.slots[at]);  // the one load of the slot; all later use is of this copy
    uint32_t ahead = at + 8 < tx.num_slots ? at + 8 : 0, ahead_buf = tx.slots[ahead].buf_idx;
    __builtin_prefetch(tx.bufs + (ahead_buf < tx.nbufs ? uint64_t{ahead_buf} * tx.buf_size : 0));
    if (!follows && !chains_alike) ask_for_entries(tx, at + kEntriesAhead < tx.num_slots ? at + kEntriesAhead : 0);
    uint32_t used = 1;
    if (slot.flags & (NS_MOREFRAG | NS_INDIRECT)) [[unlikely]] {
      if (frags + kMaxFrags > kWindow) break;
      end_run();
      Alike last{last_low, uint32_t(last_high), last_dest};
      used = classify_chain(tx, at, avail - done, now_s, alike_chains ? &last : nullptr);
      if (used == 0) break;
      run_first = frags = frags_;
      if (!alike_chains) last.dest = kDiscard;
      chains_alike = last.dest != kDiscard && last.low == last_low && last.high == last_high;
      follows = false;
      last_low = last.low;
      last_high = last.high;
      last_dest = last.dest;
      if constexpr (kTapped) window = 0;
    } else {
      Frag& frag = frag_[frags];
      bool good = check(tx, slot, frag);
      if (!good || frag.len < shortest) [[unlikely]] {
        if (frags > 0) break;
        refuse_slots(tx, good, 1, frag.len);
        if constexpr (kTapped) window = 0;
      } else {
        uint64_t low;
        High high = 0;
        const uint8_t* ethernet = tx.bufs + frag.src + header_len_;
        bool plain = !(slot.flags & (0xff00 | NS_NO_LEARN)) && !fenced_;
        if constexpr (kRuled) plain = plain && frag.len >= header_len_ + kLeastTagged && !(lists_ && last_dest == kFlood);
        memcpy(&low, ethernet, 8);
        memcpy(&high, ethernet + 8, plain ? sizeof high : 4);
        chains_alike = false;
        follows = plain && low == last_low && high == last_high && last_dest != kDiscard;
        if (!follows) [[unlikely]] {
          end_run();
          last_dest = kRuled && ruled_ ? decide_by_rules(tx, frags, 1, now_s) : decide(tx, frags, 1, now_s);
          if constexpr (kRuled) {
            // By its contents: the next one that has the same addresses may pass.
            if (last_dest == kDenied) {
              add_run(frags, 1, kDenied, false);
              run_first = frags_ = frags + 1;
              last_dest = kDiscard;
            }
          }
        } else if constexpr (kRuled) {
          if (listed_ && !(covered_ && known_.covers(ethernet, uint32_t(frag.len) - header_len_))) [[unlikely]]
            if (const uint16_t why = judge_single(tx, frags, last_dest)) {
              end_run();
              add_run(frags, 1, why, false);
              run_first = frags_ = frags + 1;
            }
        }
        frags++;
        bytes += slot.len;
        if (!plain) {
          end_run();
          last_dest = kDiscard;
        }
        last_low = low;
        last_high = high;
      }
    }
    done += used;
    at += used;
    if (at >= tx.num_slots) at -= tx.num_slots;
  }
  end_run();
  bytes_ += bytes;
  packets_ += frags_ - chain_frags_;
  return done;
}

Forwarder::Group* Forwarder::find_group(uint16_t port) {
  uint16_t index = group_index_[port];
  return index < groups_.size() && groups_[index].port == port ? &groups_[index] : nullptr;
}

// Links the runs of each destination in order.
void Forwarder::group_runs() {
  groups_.clear();
  flood_first_ = flood_last_ = kNoRun;
  for (uint32_t r = 0; r < runs_; r++) {
    uint16_t dest = run_[r].dest, index = uint16_t(r);
    if (refused(dest)) continue;
    if (dest == kFlood) {
      (flood_first_ == kNoRun ? flood_first_ : run_[flood_last_].next) = index;
      flood_last_ = index;
    } else if (Group* group = dest < kMaxPorts ? find_group(dest) : nullptr) {
      run_[group->last].next = index;
      group->last = index;
    } else if (dest < kMaxPorts) {
      group_index_[dest] = uint16_t(groups_.size());
      groups_.push_back({dest, index, index});
    }
  }
}

// The destination behind a port index as of now, nullptr if there is none.
Dest* Forwarder::current(uint16_t port) {
  uint32_t generation = shared_->port[port].generation.load(std::memory_order_acquire);
  if (flags_of(port) & kPortDeaf) [[unlikely]]
    return nullptr;
  return generation & 1 ? outside_.resolve(port, generation) : nullptr;
}

void Forwarder::count_discarded(const TxView& tx, uint32_t limit) const {
  for (uint32_t r = 0; r < runs_; r++) {
    const Run& run = run_[r];
    if (run.first >= limit || !refused(run.dest)) continue;
    uint32_t packets = run.chain ? 1 : std::min<uint32_t>(run.count, limit - run.first);
    TxKring& k = *tx.kring;
    drop(run.dest == kDiscard      ? k.lost_noport
         : run.dest == kUnreadable ? k.lost_indirect
         : run.dest == kSpoofed    ? k.lost_spoofed
         : run.dest == kTooFast    ? k.lost_rate
         : run.dest == kWrongVlan  ? k.lost_vlan
         : run.dest == kDenied     ? k.lost_acl
         : run.dest == kStopped    ? k.lost_link_local
                                   : k.lost_isolated,
         kNoPort, cause_of(run.dest), packets);
  }
  for (const Denied& each : denied_)
    if (run_[each.run].first < limit)
      drop(each.why == kDenied ? tx.kring->lost_acl : tx.kring->lost_link_local, each.port, cause_of(each.why));
}

// What was for `port` alone, which cannot be reached.
void Forwarder::lose_gone(const TxView& tx, uint16_t port, MergedRuns runs, uint32_t limit) const {
  uint32_t packets = 0;
  while (const Run* run = runs.next())
    if (run->dest != kFlood && run->first < limit)
      packets += run->chain ? 1 : std::min<uint32_t>(run->count, limit - run->first);
  if (packets > 0) drop(tx.kring->lost_noport, port, TapCause::kGone, packets);
}

Forwarded Forwarder::forward(const TxView& tx, uint32_t hwcur, uint32_t head, uint32_t now_s, uint32_t cpu) {
  Forwarded out;
  cpu_ = cpu;
  out.hwcur = hwcur;
  header_len_ = header_len_of(self_);
  group_ = group_of(self_);
  fenced_ = flags_of(self_) & kPortFenced;
  ruled_ = shared_->rules.load(std::memory_order_relaxed) != 0;
  if (ruled_) [[unlikely]]
    begin_rules();
  if (fenced_) [[unlikely]] {
    fence_.load(shared_->fence[self_]);
    if (fence_.limits_rate()) fence_.earn(outside_.now_ns());
  }
  learned_ = kBroadcastMac;
  if (parts_at_ != hwcur) parts_.clear();
  const bool observed = watched(self_);
  tapped_ = shared_->tap.load(std::memory_order_relaxed) != 0 && begin_tap();
  while (out.hwcur != head && !out.blocked) {
    uint32_t slots = tapped_  ? classify<true, true>(tx, out.hwcur, head, now_s)
                     : ruled_ ? classify<false, true>(tx, out.hwcur, head, now_s)
                              : classify<false, false>(tx, out.hwcur, head, now_s);
    uint32_t limit = frags_;
    window_at_ = (out.hwcur + skipped_) % tx.num_slots;
    if (mixed_ && !sort_mixed(tx)) [[unlikely]]
      make_runs();
    if (!mixed_) group_runs();
    reservations_.clear();
    reserved_.clear();
    if (shared_->lossless_ports.load(std::memory_order_relaxed))
      limit = mixed_ ? reserve_mixed(tx, limit, out) : reserve_lossless(tx, limit, out);
    if (limit < frags_) slots = skipped_ + limit;
    const uint32_t end = out.hwcur + slots, next = end < tx.num_slots ? end : end - tx.num_slots;
    if (observed) [[unlikely]]
      show_leaving(tx, out.hwcur, next);
    if (tapped_) [[unlikely]]
      deliver_tapped(tx, limit, out);
    else if (mixed_)
      deliver_mixed(tx, limit);
    else
      each_destination([&](uint16_t port, MergedRuns runs) {
        if (Dest* dest = current(port))
          deliver(tx, *dest, runs, limit);
        else
          lose_gone(tx, port, runs, limit);
      });
    count_discarded(tx, limit);
    if (limit > 0) parts_.clear();
    for (uint32_t i = limit; i < frags_; i++) {
      if (fenced_) fence_.refund(frag_[i].len);
      bytes_ -= frag_[i].len;
      packets_ -= !(frag_[i].flags & NS_MOREFRAG);
    }
    // Frames are what is counted: the headers before them differ from port to port.
    count(tx.kring->bytes, bytes_ - packets_ * header_len_);
    count(tx.kring->packets, packets_);
    out.hwcur = next;
  }
  parts_at_ = out.hwcur;
  if (out.blocked) report_spoiled(*out.blocked, out.blocked->rings[out.blocked_ring]);
  wake_readers();
  return out;
}

}  // namespace unetmap::vale
