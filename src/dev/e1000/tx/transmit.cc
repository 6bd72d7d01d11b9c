// SPDX-License-Identifier: BSD-2-Clause
#include "dev/e1000/tx/transmit.hh"

#include <algorithm>

namespace unetmap::e1000 {
namespace {

constexpr uint32_t kMinFrameBytes = 14, kShortestOnWire = 60;
constexpr uint32_t kAddressBytes = 12;
constexpr size_t kAhead = 24;  // descriptors that are asked for before they are looked at
constexpr uint8_t kZeros[kShortestOnWire] = {};

}  // namespace

Transmit::Transmit(State& state)
    : state_(state), ring_(state.memory), held_bytes_(std::make_unique_for_overwrite<uint8_t[]>(kHeldBytes)) {}

void Transmit::reset() noexcept {
  ring_.reset();
  txdctl_ = 0;
  contexts_ = {};
  held_ = {};
  fetched_ = arena_used_ = 0;
  armed_ = false;
  idle_rounds_ = 0;
}

// What there is to do, and whether the ring is one. False: nothing.
bool Transmit::begin(uint32_t& tail) noexcept {
  if (!state_.runs() || !(state_.tctl & kTctlEn)) return false;
  state_.look_at_block();
  if (state_.fault != Fault::kNone || ring_.count() == 0) return false;
  if (state_.shared) {
    if (armed_) disarm();
    ring_.set_tail(std::min(state_.csb.get_acquire(csb::kGuestTdt), 0xffffu));
  }
  tail = ring_.tail();
  if (tail == ring_.head()) {
    idle_rounds_++;
    return false;
  }
  idle_rounds_ = 0;
  Fault why = Fault::kNone;
  if (tail >= ring_.count())
    why = Fault::kTxTail;
  else if (ring_.head() >= ring_.count())
    why = Fault::kTxHead;
  else if (!ring_.find())
    why = Fault::kTxRing;
  if (why != Fault::kNone) state_.breaks(why);
  return why == Fault::kNone;
}

size_t Transmit::fetch(std::span<TxFrame> frames) noexcept {
  fetched_ = arena_used_ = 0;
  generation_ = state_.memory.generation();
  if (layout_ != ring_.layout()) [[unlikely]] {
    held_ = {};  // of another ring
    layout_ = ring_.layout();
  }
  frames = frames.first(std::min(frames.size(), kMaxFetch));
  if (held_.ready) return state_.runs() ? fetch_held(frames) : 0;
  uint32_t tail;
  if (!begin(tail)) return 0;
  return walk(frames, tail);
}

size_t Transmit::walk(std::span<TxFrame> frames, uint32_t tail) noexcept {
  Place place{ring_.head(), contexts_};
  uint32_t steps = 0;
  while (fetched_ < frames.size() && steps < kMostSteps && arena_used_ + kMaxFramePieces + 1 <= kArena) {
    if (!held_.open && walk_plain(frames, tail, steps, place)) continue;
    const Place before = place;
    Found found;
    const Find what = find(place, tail, steps, found);
    if (what == Find::kBroken) return 0;
    if (what != Find::kWhole) {
      // Contexts at the end, and beginnings of frames, are taken when nothing is before them.
      if (fetched_ > 0 || place.index == before.index) break;
      if (what == Find::kPart && !gather(found.start, place.index)) return 0;
      if (what == Find::kPart) held_.request = found.request;
      held_.open = held_.open || what == Find::kPart;
      give_back(place);
      break;
    }
    const Make made = held_.open ? Make::kHold : make(found, place.contexts, frames[fetched_]);
    if (made == Make::kFrame) {
      record(frames[fetched_], place);
      continue;
    }
    if (fetched_ > 0) break;  // what goes another way comes alone
    if (made == Make::kDrop)
      drop(cause_, place);
    else if (!hold(found, place))
      return 0;
    else if (held_.ready)
      return fetch_held(frames);
  }
  return fetched_;
}

// A frame of one descriptor, in one piece, to which nothing is to be done: what most are. False: it is another.
bool Transmit::walk_plain(std::span<TxFrame> frames, uint32_t tail, uint32_t& steps, Place& place) noexcept {
  if (place.index == tail) return false;
  const uint8_t* const at = ring_.at(place.index);
  if (at == nullptr) return false;
  __builtin_prefetch(at + kAhead * kDescriptorBytes);
  const TxDescriptor descriptor = TxDescriptor::load(at);
  const uint32_t bytes = descriptor.bytes();
  if (!descriptor.whole_and_plain() || bytes < kShortestOnWire || bytes > kMostBytes) return false;
  const uint8_t* const data = state_.memory.at(descriptor.address(), bytes);
  if (data == nullptr) return false;
  __builtin_prefetch(data);
  Source& piece = arena_[arena_used_ + 1];
  piece = {data, bytes};
  TxFrame& frame = frames[fetched_];
  frame = {.hdr = {}, .bytes = bytes, .pieces = {&piece, 1}};
  place.index = ring_.next(place.index);
  steps++;
  record_[fetched_++] = {place, bytes, 1, bytes, bytes, data};
  arena_used_ += 2;
  return true;
}

// The next frame, or what there is of it.
Transmit::Find Transmit::find(Place& place, uint32_t tail, uint32_t& steps, Found& found) noexcept {
  bool first = !held_.open;
  if (!first) found.request = held_.request;
  bool some = false;
  while (place.index != tail && steps++ < kMostSteps) {
    const uint8_t* const at = ring_.at(place.index);
    if (at == nullptr) [[unlikely]] {
      state_.breaks(Fault::kTxRing);
      return Find::kBroken;
    }
    const TxDescriptor descriptor = TxDescriptor::load(at);
    const TxDescriptor::Type type = descriptor.type();
    if (!some) found.start = place.index;
    place.index = ring_.next(place.index);
    if (type == TxDescriptor::Type::kContext) {
      const TxContext context{descriptor.low, descriptor.high};
      (context.segmentation() ? place.contexts.segmentation : place.contexts.checksum) = context;
      continue;
    }
    if (type == TxDescriptor::Type::kReserved) continue;
    some = true;
    found.request.add(descriptor, first);
    first = false;
    if (!add_piece(descriptor, found)) return Find::kBroken;
    if (descriptor.command() & TxDescriptor::kEop) return Find::kWhole;
  }
  return some ? Find::kPart : Find::kNothing;
}

// The buffer of a descriptor, behind those before; there is room for a frame's pieces and its head in the arena.
bool Transmit::add_piece(const TxDescriptor& descriptor, Found& found) noexcept {
  uint64_t address = descriptor.address();
  uint32_t bytes = descriptor.bytes();
  found.bytes += bytes;
  while (bytes > 0 && !found.many) {
    const guest::GuestMemory::Piece piece = state_.memory.piece(address, bytes);
    if (piece.at == nullptr) [[unlikely]] {
      state_.breaks(Fault::kTxBuffer);
      return false;
    }
    if (found.pieces == kMaxFramePieces - 2) {  // the head and the padding may be pieces of their own
      found.many = true;
      break;
    }
    __builtin_prefetch(piece.at);
    arena_[arena_used_ + 1 + found.pieces++] = {piece.at, static_cast<size_t>(piece.bytes)};
    address += piece.bytes;
    bytes -= static_cast<uint32_t>(piece.bytes);
  }
  return true;
}

// Copies the first bytes of a frame, which has that many, to where they may be changed; the frame is then the copy and
// the rest. The slot before the frame's pieces is free.
std::span<const Source> Transmit::take_head(std::span<const Source> pieces, uint32_t bytes) noexcept {
  uint8_t* const head = heads_[fetched_].data();
  size_t at = &pieces[0] - arena_.data();
  const size_t end = at + pieces.size();
  for (uint32_t done = 0; done < bytes;) {
    Source& piece = arena_[at];
    const size_t step = std::min<size_t>(piece.size(), bytes - done);
    std::memcpy(head + done, piece.data(), step);
    done += static_cast<uint32_t>(step);
    piece = piece.subspan(step);
    if (piece.empty()) at++;
  }
  arena_[--at] = {head, bytes};
  return {&arena_[at], end - at};
}

// Behind the addresses. The frame's first piece is a head, with room.
void Transmit::insert_tag(uint16_t tag, TxFrame& frame) noexcept {
  uint8_t* const head = heads_[fetched_].data();
  Source& first = arena_[&frame.pieces[0] - arena_.data()];
  std::memmove(head + kAddressBytes + kVlanBytes, head + kAddressBytes, first.size() - kAddressBytes);
  const uint8_t bytes[] = {static_cast<uint8_t>(state_.vet >> 8), static_cast<uint8_t>(state_.vet),
                           static_cast<uint8_t>(tag >> 8), static_cast<uint8_t>(tag)};
  std::memcpy(head + kAddressBytes, bytes, sizeof bytes);
  first = {head, first.size() + kVlanBytes};
  frame.bytes += kVlanBytes;
  if (frame.hdr.flags & vale::kVnetNeedsCsum)
    frame.hdr.csum_start = static_cast<uint16_t>(frame.hdr.csum_start + kVlanBytes);
  if (frame.hdr.gso_type != vale::kGsoNone) frame.hdr.hdr_len = static_cast<uint16_t>(frame.hdr.hdr_len + kVlanBytes);
}

// To the shortest frame of Ethernet, where the driver wants that. The slot behind the frame's pieces is free.
void Transmit::pad(TxFrame& frame) noexcept {
  if (frame.bytes >= kShortestOnWire || !(state_.tctl & kTctlPsp)) return;
  const size_t at = &frame.pieces[0] - arena_.data();
  arena_[at + frame.pieces.size()] = {kZeros, kShortestOnWire - frame.bytes};
  frame.pieces = {&arena_[at], frame.pieces.size() + 1};
  frame.bytes = kShortestOnWire;
}

// A whole frame that lies in guest memory.
Transmit::Make Transmit::make(const Found& found, const TxContexts& contexts, TxFrame& frame) noexcept {
  const TxRequest& request = found.request;
  cause_ = Drop::kTxTooShort;
  if (found.bytes < kMinFrameBytes) return Make::kDrop;
  cause_ = Drop::kTxTooLong;
  if (found.bytes > (request.segment ? kHeldBytes : kMostBytes)) return Make::kDrop;
  if (found.many) return Make::kHold;
  std::span<const Source> pieces(&arena_[arena_used_ + 1], found.pieces);
  frame.hdr = {};
  frame.bytes = static_cast<uint32_t>(found.bytes);
  const bool vlan = request.vlan && (state_.ctrl & kCtrlVme) != 0;
  if (request.segment) {
    if (const Make made = make_segment(pieces, contexts.segmentation, request, frame); made != Make::kFrame)
      return made;
  } else {
    unsigned head = 0, ip = 0;
    if (!request.plain()) {
      if (!describe_checksum(frame.bytes, contexts.checksum, request, frame.hdr)) return Make::kHold;
      if (request.ip_checksum && !ip_checksum_range(frame.bytes, contexts.checksum, ip)) return Make::kHold;
      head = ip;
    }
    if (vlan || pieces[0].size() < kMinFrameBytes) head = std::max(head, kMinFrameBytes);
    if (head > 0) pieces = take_head(pieces, head);
    if (ip > 0) {
      const TxContext& context = contexts.checksum;
      insert_checksum({heads_[fetched_].data(), head}, context.ipcss(), context.ipcse() == 0 ? ip : context.ipcse() + 1,
                      context.ipcso());
    }
    frame.pieces = pieces;
  }
  if (vlan) insert_tag(request.tag, frame);
  pad(frame);
  return Make::kFrame;
}

Transmit::Make Transmit::make_segment(std::span<const Source> pieces, const TxContext& context,
                                      const TxRequest& request, TxFrame& frame) noexcept {
  cause_ = Drop::kTxOffload;
  const uint32_t head = context.header_bytes();
  if (!can_cut(frame.bytes, context, request)) return Make::kDrop;
  frame.pieces = take_head(pieces, head);
  const std::span<uint8_t> bytes(heads_[fetched_].data(), head);
  return describe_segment(bytes, frame.bytes, context, request, frame.hdr) ? Make::kFrame : Make::kHold;
}

void Transmit::drop(Drop cause, const Place& after) noexcept {
  state_.counters.drop(cause);
  give_back(after);
}

void Transmit::record(const TxFrame& frame, const Place& after) noexcept {
  uint32_t segments = 1, last = frame.bytes;
  const uint32_t header = frame.hdr.hdr_len, step = frame.hdr.gso_size;
  if (frame.hdr.gso_type != vale::kGsoNone) {
    const uint32_t payload = frame.bytes - header;
    segments = (payload + step - 1) / step;
    last = header + payload - (segments - 1) * step;
  }
  record_[fetched_++] = {after, frame.bytes, segments, header + step, last, frame.pieces[0].data()};
  const size_t end = static_cast<size_t>(&frame.pieces[0] - arena_.data()) + frame.pieces.size();
  arena_used_ = std::max(arena_used_, end);
}

// From the head on, up to a place: marks what the driver wants to be marked, moves the head, and tells.
void Transmit::give_back(const Place& until) noexcept {
  const uint32_t before = ring_.head();
  bool reported = false, at_once = false;
  for (uint32_t i = before; i != until.index; i = ring_.next(i)) {
    uint8_t* const at = ring_.at(i);
    if (at == nullptr) [[unlikely]]
      return state_.breaks(Fault::kTxRing);
    const uint8_t command = load_once<uint8_t>(at + TxDescriptor::kCommandAt);
    if (!(command & (TxDescriptor::kRs | TxDescriptor::kRps))) continue;
    reported = true;
    at_once = at_once || !(command & TxDescriptor::kIde);
    uint8_t* const status = at + TxDescriptor::kStatusAt;
    store_release8(status, static_cast<uint8_t>((load_once<uint8_t>(status) & 0xf0) | TxDescriptor::kDone));
    state_.memory.written(ring_.guest_address(i) + TxDescriptor::kStatusAt, 1);
  }
  ring_.set_head(until.index);
  contexts_ = until.contexts;
  uint32_t causes = until.index == ring_.tail() ? kTxqe : 0;
  if (const uint32_t low = (txdctl_ >> 25) * 8; low > 0) {
    const uint32_t left = ring_.distance(until.index, ring_.tail());
    if (left <= low && ring_.distance(before, ring_.tail()) > low) causes |= kTxdLow;
  }
  if (state_.shared) {
    state_.csb.publish(csb::kHostTdh, until.index);
    full_barrier();
    const uint32_t where = state_.csb.get(csb::kGuestTxkickAt);
    const bool passed = where < ring_.count() && ring_.distance(before, where) < ring_.distance(before, until.index);
    if (!passed && state_.csb.get(csb::kGuestNeedTxkick) == 0) return;
    causes |= kTxdw;
  }
  if (reported) state_.irq.transmitted(!at_once, state_.now_ns);
  if (causes != 0) state_.raise(causes);
}

void Transmit::count(size_t accepted) noexcept {
  static constexpr uint8_t kBroadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  for (size_t i = 0; i < accepted; i++) {
    const Fetched& fetched = record_[i];
    const uint8_t first = load_once<uint8_t>(fetched.head);
    const bool broadcast = first == 0xff && std::memcmp(fetched.head, kBroadcast, sizeof kBroadcast) == 0;
    state_.statistics.transmitted(fetched.last, 1, first, broadcast);
    if (fetched.segments > 1) {
      state_.statistics.transmitted(fetched.longest, fetched.segments - 1, first, broadcast);
      state_.statistics.segmented();
    }
    state_.counters.tx_packets++;
    state_.counters.tx_bytes += fetched.bytes;
  }
}

void Transmit::complete(size_t accepted) noexcept {
  accepted = std::min(accepted, fetched_);
  fetched_ = 0;
  // Where the memory or the ring has changed meanwhile, the frames' places mean nothing any more.
  if (accepted == 0 || state_.fault != Fault::kNone) return;
  if (generation_ != state_.memory.generation() || layout_ != ring_.layout()) return;
  count(accepted);
  if (!held_.ready) return give_back(record_[accepted - 1].after);
  held_.accepted += static_cast<uint32_t>(accepted);
  if (held_.accepted < held_.segments) return;
  if (held_.segments > 1) state_.statistics.segmented();
  const Place after = held_.after;
  held_ = {};
  give_back(after);
}

void Transmit::introduce() noexcept {
  state_.csb.put(csb::kHostTdh, ring_.head());
  state_.csb.put(csb::kHostNeedTxkick, 1);
  armed_ = true;
}

bool Transmit::arm() noexcept {
  if (!state_.runs() || !(state_.tctl & kTctlEn)) return false;
  if (held_.ready) return true;
  state_.look_at_block();
  if (state_.fault != Fault::kNone || ring_.count() == 0) return false;
  if (!state_.shared) return ring_.tail() != ring_.head();
  if (idle_rounds_ < std::min(state_.csb.get(csb::kHostTxcyclesLim), kMostRounds)) return true;
  state_.csb.put(csb::kHostTxcycles, idle_rounds_);
  state_.csb.put(csb::kHostNeedTxkick, 1);
  full_barrier();
  armed_ = true;
  if (state_.csb.get_acquire(csb::kGuestTdt) == ring_.head()) return false;
  disarm();
  return true;
}

void Transmit::disarm() noexcept {
  if (!armed_) return;
  armed_ = false;
  if (state_.runs() && state_.csb.look()) state_.csb.put(csb::kHostNeedTxkick, 0);
}

}  // namespace unetmap::e1000
