// SPDX-License-Identifier: BSD-2-Clause
// What a switch's tap is told: of each packet that is sent, how it was classified, and what became of it at each of its
// destinations. While there is a tap, a window has one packet. A tap that is full loses records and counts them; no
// sender waits for it.
#include <algorithm>

#include "vale/deliver.hh"

namespace unetmap::vale {

// The word is foreign: what it names has to be a tap.
uint16_t Forwarder::tap_port() const {
  const uint32_t port = shared_->tap.load(std::memory_order_relaxed) - 1;
  return port < kMaxPorts && port != self_ && (flags_of(uint16_t(port)) & kPortTap) ? uint16_t(port) : kNoPort;
}

bool Forwarder::begin_tap() {
  if (tap_port() == kNoPort) return false;
  if (!told_) told_ = std::make_unique<Told>();
  told_->head = {};
  return true;
}

// The list has those first that do not get it: they are what one looks for.
void Forwarder::note_dest(uint16_t port, TapCause cause) {
  TapHead& head = told_->head;
  const TapDest dest{shared_->port[port].generation.load(std::memory_order_relaxed), port, cause, 0};
  head.dests++;
  if (cause == TapCause::kDelivered) head.delivered++;
  if (head.listed < kTapListed) {
    told_->dest[head.listed++] = dest;
  } else if (cause != TapCause::kDelivered) {
    TapDest* place = std::find_if(told_->dest, told_->dest + kTapListed,
                                  [](const TapDest& each) { return each.cause == TapCause::kDelivered; });
    if (place != told_->dest + kTapListed) *place = dest;
  }
}

// Of a packet whose destination is none.
TapCause Forwarder::cause_of(uint16_t refused) {
  switch (refused) {
    case kUnreadable:
      return TapCause::kUnreadable;
    case kSpoofed:
      return TapCause::kSpoofed;
    case kTooFast:
      return TapCause::kRate;
    case kIsolated:
      return TapCause::kIsolated;
    case kWrongVlan:
      return TapCause::kVlan;
    case kDenied:
      return TapCause::kAcl;
    case kStopped:
      return TapCause::kLinkLocal;
    default:
      return TapCause::kOwn;
  }
}

// Of the packet in the window, as classify() has found.
void Forwarder::note_way() {
  TapHead& head = told_->head;
  head.way = TapWay::kRefused;
  if (runs_ == 0) return;  // refuse_slots() has said why
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < frags_; i++) bytes += frag_[i].len;
  head.frame_bytes = uint32_t(bytes);
  told_->frags = frags_;
  if (refused(run_[0].dest))
    head.cause = cause_of(run_[0].dest);
  else if (run_[0].dest == kFlood)
    head.way = TapWay::kUnknown;  // until the address is seen
  else
    head.way = frag_[0].flags >> NS_PORT_SHIFT ? TapWay::kSlot : TapWay::kTable;
}

// In place of a plain delivery: the same, and a record of it.
void Forwarder::deliver_tapped(const TxView& tx, uint32_t limit, const Forwarded& out) {
  Told& told = *told_;
  told.head.time_ns = outside_.now_ns();
  note_way();
  const bool waits = limit < frags_;
  each_destination([&](uint16_t port, MergedRuns runs) {
    cause_ = TapCause::kDelivered;
    if (Dest* dest = current(port)) {
      deliver(tx, *dest, runs, limit);
      if (!waits) note_dest(port, cause_);
    } else if (!runs.only_flood()) {
      drop(tx.kring->lost_noport, port, TapCause::kGone);
      note_dest(port, TapCause::kGone);
    }
  });
  if (flood_first_ != kNoRun && group_ != 0 && !waits) {
    const uint32_t count = std::min(shared_->flood_count.load(std::memory_order_acquire), kMaxPorts);
    for (uint32_t i = 0; i < count; i++) {
      const uint16_t port = shared_->flood[i].load(std::memory_order_relaxed);
      if (port < kMaxPorts && port != self_ && group_of(port) == group_) note_dest(port, TapCause::kIsolated);
    }
  }
  if (!waits)
    for (const Denied& each : denied_)
      note_dest(each.port, cause_of(each.why));
  if (waits) {
    // It is looked at again and again: said once.
    if (out.blocked && told.waits_at != out.hwcur + 1) {
      told.waits_at = out.hwcur + 1;
      told.head.cause = TapCause::kWaits;
      note_dest(out.blocked->port, TapCause::kWaits);
      tell_tap(tx);
    }
  } else {
    told.waits_at = 0;
    tell_tap(tx);
  }
  told.head = {};
}

void Forwarder::tell_tap(const TxView& tx) {
  const uint16_t port = tap_port();
  Dest* tap = port == kNoPort ? nullptr : current(port);
  if (!tap) return;
  TapHead& head = told_->head;
  const uint32_t dest_bytes = head.listed * uint32_t(sizeof(TapDest)), before = uint32_t(sizeof head) + dest_bytes;
  // The virtio-net header goes where the record's own end comes to lie.
  uint32_t kept = gather(tx, 0, told_->frags, before - header_len_);
  kept -= std::min<uint32_t>(kept, header_len_);
  head.frame_bytes -= std::min<uint32_t>(head.frame_bytes, header_len_);
  const Exchange& ex = tap->rings[0];
  const uint32_t most = std::min(kMaxFrags, ex.shape().cells) * room_in_cell(*tap);
  head.kept_bytes = std::min({kept, head.frame_bytes, most - std::min(most, before)});
  if (head.way == TapWay::kUnknown && head.kept_bytes > 0 && is_multicast(load_mac(scratch_.get() + before)))
    head.way = TapWay::kEverybody;
  head.magic = kTapMagic;
  head.generation = generation_;
  head.port = self_;
  head.ring = tx.ring_id;
  memcpy(scratch_.get(), &head, sizeof head);
  memcpy(scratch_.get() + sizeof head, told_->dest, dest_bytes);
  Supply supply{*this, *tap, ex, *tx.kring, cells_.get()};
  supply.copies = true;
  deliver_split(scratch_.get(), before + head.kept_bytes, supply);
  supply.finish();
}

}  // namespace unetmap::vale
