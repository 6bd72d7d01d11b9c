// SPDX-License-Identifier: BSD-2-Clause
#include "dev/e1000/rx/receive.hh"

#include <algorithm>

#include "dev/virtio_net/net_header.hh"
#include "vale/checksum.hh"
#include "vale/copy.hh"
#include "vale/wire_bytes.hh"

namespace unetmap::e1000 {
namespace {

constexpr uint32_t kMinFrameBytes = 14, kShortestOnWire = 60, kCrcBytes = 4;
constexpr uint32_t kLongest = 1518, kLongestJumbo = 16384 - kCrcBytes;  // without a CRC: SDM 13.4.22, LPE
constexpr uint32_t kAddressBytes = 12, kTagBytes = 4;
constexpr uint8_t kDone = 1, kEop = 2, kVp = 8;  // status
constexpr uint8_t kZeros[kShortestOnWire] = {};
// What a driver with an array of headers takes: everything but bundles of datagrams.
constexpr virtio::Offloads kTakes{.checksum = true, .tso4 = true, .tso6 = true, .ecn = true, .uso = false};

bool asks(const vale::VnetHdr& hdr) noexcept {
  return (hdr.flags & vale::kVnetNeedsCsum) != 0 || hdr.gso_type != vale::kGsoNone;
}

}  // namespace

Receive::Receive(State& state)
    : state_(state),
      ring_(state.memory),
      large_(std::make_unique_for_overwrite<uint8_t[]>(kLargeBytes)),
      segment_(std::make_unique_for_overwrite<uint8_t[]>(kLargeBytes)) {}

void Receive::reset() noexcept {
  ring_.reset();
  set_rctl(0);
  under_way_ = waiting_ = armed_ = false;
  headers_ = 0;
}

void Receive::set_rctl(uint32_t value) noexcept {
  state_.rctl = value & 0x07ff'ffff;
  const unsigned size = value >> kRctlBsizeShift & 3;
  buffer_bytes_ = 2048u >> size;
  if ((value & kRctlBsex) && size != 0) buffer_bytes_ *= 16;
}

bool Receive::receiving() const noexcept {
  return state_.runs() && (state_.rctl & kRctlEn) != 0 && state_.link() && ring_.count() != 0;
}

// At the start of a batch. False: broken.
bool Receive::begin() noexcept {
  generation_ = state_.memory.generation();
  written_ = ring_.written();
  state_.look_at_block();
  if (state_.fault != Fault::kNone) return false;
  headers_ = 0;
  if (state_.shared) {
    headers_ = uint64_t{state_.csb.get(csb::kVnetRingHigh)} << 32 | state_.csb.get(csb::kVnetRingLow);
    ring_.set_tail(std::min(state_.csb.get_acquire(csb::kGuestRdt), 0xffffu));
  }
  Fault why = Fault::kNone;
  if (ring_.head() >= ring_.count())
    why = Fault::kRxHead;
  else if (ring_.tail() >= ring_.count())
    why = Fault::kRxTail;
  else if (!ring_.find())
    why = Fault::kRxRing;
  if (why != Fault::kNone) {
    state_.breaks(why);
    return false;
  }
  under_way_ = true;
  first_ = ring_.head();
  free_before_ = ring_.distance(first_, ring_.tail());
  return true;
}

// With the block the driver may have added buffers since the batch began.
void Receive::reload_tail() noexcept {
  if (!state_.shared) return;
  const uint32_t tail = state_.csb.get_acquire(csb::kGuestRdt);
  if (tail < ring_.count())
    ring_.set_tail(tail);
  else
    state_.breaks(Fault::kRxTail);
}

Delivery Receive::drop(Drop cause) noexcept {
  state_.counters.drop(cause);
  return Delivery::kDropped;
}

Delivery Receive::no_buffers(uint32_t needed) noexcept {
  if (!waiting_) state_.statistics.no_buffers();
  waiting_ = true;
  needed_ = needed;
  return Delivery::kNoBuffers;
}

// By address and VLAN; learns what the rest wants to know of the first bytes, which another guest may be writing.
bool Receive::passes(std::span<const Source> pieces, uint32_t bytes, Frame& frame) noexcept {
  constexpr uint32_t kLook = kAddressBytes + kTagBytes + 2;
  uint8_t head[kLook] = {};
  if (pieces[0].size() >= kLook) [[likely]] {
    std::memcpy(head, pieces[0].data(), kLook);
  } else {
    for (uint32_t done = 0; const Source piece : pieces) {
      const size_t step = std::min<size_t>(piece.size(), kLook - done);
      std::memcpy(head + done, piece.data(), step);
      done += static_cast<uint32_t>(step);
      if (done == kLook) break;
    }
  }
  frame.first_byte = head[0];
  frame.broadcast = head[0] == 0xff && std::all_of(head, head + 6, [](uint8_t byte) { return byte == 0xff; });
  if (!state_.filter.takes_address(head, state_.rctl)) return false;
  if (bytes < kLook || vale::load_be16(head + kAddressBytes) != (state_.vet & 0xffff)) return true;
  frame.tag = vale::load_be16(head + kAddressBytes + 2);
  frame.strip = (state_.ctrl & kCtrlVme) != 0;
  return state_.filter.takes_vlan(frame.tag, state_.rctl);
}

bool Receive::may_be_so_long(uint32_t bytes) const noexcept {
  if (headers_ != 0) return bytes <= kMaxFrameBytes;
  if (state_.rctl & kRctlLpe) return bytes <= kLongestJumbo;
  return bytes <= kLongest || (bytes <= kLongestJumbo && (state_.rctl & kRctlSbp));
}

Delivery Receive::deliver(const vale::VnetHdr& hdr, std::span<const Source> pieces) noexcept {
  if (state_.fault != Fault::kNone) return Delivery::kBroken;
  if (!receiving()) return drop(Drop::kRxDisabled);
  // The caller may have let the driver write registers, or the memory change, within a batch.
  if (under_way_ && (generation_ != state_.memory.generation() || written_ != ring_.written())) [[unlikely]]
    finish();
  if (!under_way_ && !begin()) return Delivery::kBroken;
  uint64_t all = 0;
  for (const Source& piece : pieces) all += piece.size();
  if (all < kMinFrameBytes) {
    state_.statistics.too_short();
    return drop(Drop::kRxTooShort);
  }
  if (all > kMaxFrameBytes || pieces.size() > kMostPieces) return drop(Drop::kRxTooLong);
  const auto bytes = static_cast<uint32_t>(all);
  Frame frame;
  if (!passes(pieces, bytes, frame)) return drop(Drop::kRxFiltered);
  const vale::VnetHdr* header = nullptr;
  static constexpr vale::VnetHdr kNothing{};
  if (headers_ != 0) header = &kNothing;
  frame.trusted = (hdr.flags & (vale::kVnetDataValid | vale::kVnetNeedsCsum)) != 0;
  if (!asks(hdr)) {
    if (header != nullptr && (hdr.flags & vale::kVnetDataValid)) header = &hdr;
    if (pieces.size() == 1 && copy_straight(pieces[0], header, frame)) [[likely]]
      return Delivery::kDone;
    if (state_.fault != Fault::kNone) return Delivery::kBroken;
    take(pieces);
    return send_up(frame, bytes, header);
  }
  vale::VnetHdr moved = hdr;
  switch (virtio::fit(hdr, bytes, headers_ != 0 ? kTakes : virtio::Offloads{})) {
    case virtio::Fit::kBad:
      return drop(Drop::kRxConvert);
    case virtio::Fit::kWhole:
      take(pieces);
      if (frame.strip) {
        moved.csum_start = static_cast<uint16_t>(hdr.csum_start - std::min<uint16_t>(hdr.csum_start, kTagBytes));
        moved.hdr_len = static_cast<uint16_t>(hdr.hdr_len - std::min<uint16_t>(hdr.hdr_len, kTagBytes));
      }
      return send_up(frame, bytes, &moved);
    case virtio::Fit::kSoftware:
      break;
  }
  if (hdr.gso_type != vale::kGsoNone) return cut(hdr, pieces, bytes, frame);
  take(pieces);
  if (!set_checksum(hdr, bytes)) return drop(Drop::kRxConvert);
  return send_up(frame, bytes, header);
}

void Receive::take(std::span<const Source> pieces) noexcept {
  count_ = 0;
  for (const Source& piece : pieces)
    if (!piece.empty()) pieces_[count_++] = piece;
}

// Takes the four bytes behind the addresses out.
void Receive::strip_tag() noexcept {
  uint32_t at = 0;
  for (size_t i = 0; i < count_ && at < kAddressBytes + kTagBytes; i++) {
    Source& piece = pieces_[i];
    const auto size = static_cast<uint32_t>(piece.size());
    const uint32_t from = std::clamp(kAddressBytes, at, at + size) - at;
    const uint32_t to = std::clamp(kAddressBytes + kTagBytes, at, at + size) - at;
    at += size;
    if (from == to) continue;
    if (from > 0 && to < size) {
      std::move_backward(&pieces_[i + 1], &pieces_[count_], &pieces_[count_ + 1]);
      count_++;
      pieces_[i + 1] = piece.subspan(to);
      piece = piece.first(from);
      return;
    }
    piece = from > 0 ? piece.first(from) : piece.subspan(to);
  }
}

// The first bytes, copied, in front of the rest.
void Receive::take_head(uint32_t bytes) noexcept {
  size_t used = 0;
  for (uint32_t done = 0; done < bytes;) {
    Source& piece = pieces_[used];
    const size_t step = std::min<size_t>(piece.size(), bytes - done);
    std::memcpy(&head_[done], piece.data(), step);
    done += static_cast<uint32_t>(step);
    piece = piece.subspan(step);
    if (piece.empty()) used++;
  }
  if (used == 0) {
    std::move_backward(&pieces_[0], &pieces_[count_], &pieces_[count_ + 1]);
    count_++;
  } else {
    std::move(&pieces_[used], &pieces_[count_], &pieces_[1]);
    count_ -= used - 1;
  }
  pieces_[0] = {head_.data(), bytes};
}

// The transport checksum, which the sender has left to be made. The sum is made of the bytes as they are now.
bool Receive::set_checksum(const vale::VnetHdr& hdr, uint32_t bytes) noexcept {
  const uint32_t start = hdr.csum_start, field = start + hdr.csum_offset;
  if (start < kMinFrameBytes || field + 2 > bytes) return false;
  uint8_t* at = head_.data();
  if (field + 2 <= kHeadBytes) {
    take_head(std::min(bytes, kHeadBytes));
  } else {
    uint32_t done = 0;
    for (size_t i = 0; i < count_; i++) {
      std::memcpy(&large_[done], pieces_[i].data(), pieces_[i].size());
      done += static_cast<uint32_t>(pieces_[i].size());
    }
    pieces_[0] = {large_.get(), bytes};
    count_ = 1;
    at = large_.get();
  }
  const uint64_t sum = sum_of({pieces_.data(), count_}, start, bytes);
  vale::store_checksum(at + field, vale::checksum_finish_nonzero(sum));
  return true;
}

// What the wire and the receiver make of it.
void Receive::finish_frame(uint32_t bytes, Frame& frame) noexcept {
  if (state_.rxcsum & (kRxcsumIpofl | kRxcsumTuofl))
    frame.checksum = check_received({pieces_.data(), count_}, bytes, state_.rxcsum, frame.trusted);
  if (bytes < kShortestOnWire) {
    pieces_[count_++] = {kZeros, kShortestOnWire - bytes};
    bytes = kShortestOnWire;
  }
  if (frame.strip) {
    strip_tag();
    bytes -= kTagBytes;
  }
  frame.wire = frame.bytes = bytes;
  if (state_.rctl & kRctlSecrc) return;
  store<uint32_t>(crc_.data(), crc_of({pieces_.data(), count_}));
  pieces_[count_++] = crc_;
  frame.bytes += kCrcBytes;
}

Delivery Receive::send_up(Frame& frame, uint32_t bytes, const vale::VnetHdr* header) noexcept {
  if (!may_be_so_long(bytes)) {
    state_.statistics.too_long();
    return drop(Drop::kRxTooLong);
  }
  finish_frame(bytes, frame);
  return write(frame, header);
}

void Receive::missed(uint64_t frames) noexcept {
  state_.statistics.missed(frames);
  state_.counters.drop(Drop::kRxNoBuffers, frames);
  if (!state_.shared) state_.raise(kRxo);
}

// Shows the driver where we are, and tells it if it wants to know.
void Receive::finish() noexcept {
  if (!under_way_) return;
  under_way_ = false;
  if (ring_.head() == first_ || state_.fault != Fault::kNone) return;
  if (generation_ != state_.memory.generation()) state_.look_at_block();
  if (ring_.count() == 0 || state_.fault != Fault::kNone) return;
  if (state_.shared) {
    state_.csb.publish(csb::kHostRdh, ring_.head());
    full_barrier();
    if (state_.csb.get(csb::kGuestNeedRxkick) == 0) return;
  }
  state_.irq.received(state_.now_ns);
  const uint32_t few = ring_.count() >> (1 + (state_.rctl >> kRctlRdmtsShift & 3));
  if (free_before_ > few && ring_.distance(ring_.head(), ring_.tail()) <= few) state_.raise(kRxdmt0);
}

void Receive::introduce() noexcept {
  state_.csb.put(csb::kHostRdh, ring_.head());
  state_.csb.put(csb::kHostNeedRxkick, 0);
  state_.csb.put(csb::kHostRxkickAt, csb::kNowhere);
}

// Only when a frame waits: with the block, the driver kicks when it is three quarters into what is missing.
bool Receive::arm() noexcept {
  if (!waiting_ || !receiving()) return false;
  state_.look_at_block();
  if (state_.fault != Fault::kNone) return false;
  reload_tail();
  if (state_.fault != Fault::kNone || ring_.tail() >= ring_.count()) return false;
  const uint32_t there = ring_.distance(ring_.head(), ring_.tail());
  if (there >= needed_) return true;
  if (!state_.shared) return false;
  const uint32_t missing = ring_.count() - 1 - there;
  const uint32_t ahead = std::max({missing * 3 / 4, needed_ - there, 1u});
  uint32_t at = ring_.tail() + ahead - 1;
  if (at >= ring_.count()) at -= ring_.count();
  state_.csb.put(csb::kHostRxkickAt, at);
  armed_ = true;
  full_barrier();
  const uint32_t tail = state_.csb.get_acquire(csb::kGuestRdt);
  if (tail >= ring_.count() || ring_.distance(ring_.head(), tail) < needed_) return false;
  disarm();
  return true;
}

void Receive::disarm() noexcept {
  if (!armed_) return;
  armed_ = false;
  if (state_.runs() && state_.csb.look()) state_.csb.put(csb::kHostRxkickAt, csb::kNowhere);
}

}  // namespace unetmap::e1000
