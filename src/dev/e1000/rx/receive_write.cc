// SPDX-License-Identifier: BSD-2-Clause
// Frames into the buffers of the receive ring: see receive.hh.
#include <algorithm>

#include "dev/e1000/rx/receive.hh"
#include "vale/copy.hh"

namespace unetmap::e1000 {
namespace {

constexpr uint32_t kCrcBytes = 4, kHeaderSlot = 10;  // bytes of a virtio-net header in the driver's array
constexpr uint32_t kLongestSegment = 1514;           // of what is cut here, unless long packets are on
constexpr uint8_t kDone = 1, kEop = 2, kVp = 8;      // status
constexpr uint32_t kAhead = 24;                      // descriptors
constexpr uint32_t kShortestOnWire = 60, kCacheLine = 64;

// Most frames are short: no call for them. All of it is loaded before any of it is stored.
inline void copy(uint8_t* to, const uint8_t* from, size_t bytes) noexcept {
  using Vector [[gnu::vector_size(16)]] = uint64_t;
  if (bytes < 32 || bytes > 64) {
    std::memcpy(to, from, bytes);
    return;
  }
  Vector first, second, third, last;
  std::memcpy(&first, from, sizeof first);
  std::memcpy(&second, from + 16, sizeof second);
  std::memcpy(&third, from + bytes - 32, sizeof third);
  std::memcpy(&last, from + bytes - 16, sizeof last);
  std::memcpy(to, &first, sizeof first);
  std::memcpy(to + 16, &second, sizeof second);
  std::memcpy(to + bytes - 32, &third, sizeof third);
  std::memcpy(to + bytes - 16, &last, sizeof last);
}

uint64_t write_back(uint32_t bytes, uint8_t status, const RxChecksum& checksum, uint16_t tag) noexcept {
  return uint64_t{bytes} | uint64_t{checksum.packet} << 16 | uint64_t{status} << 32 | uint64_t{checksum.errors} << 40 |
         uint64_t{tag} << 48;
}

}  // namespace

// What comes up soon: a descriptor, which the driver has just written and we are about to; and, with a descriptor that
// was asked for so before, the first line of its buffer, which the driver has just read.
void Receive::prefetch() const noexcept {
  const uint32_t there = ring_.distance(ring_.head(), ring_.tail());
  if (there <= kAhead) return;
  if (there > 2 * kAhead)
    if (const uint8_t* const at = ring_.at(ring_.further(2 * kAhead))) vale::prefetch_to_write(at);
  const uint8_t* const at = ring_.at(ring_.further(kAhead));
  if (at == nullptr) return;
  if (const uint8_t* const buffer = state_.memory.at(load_once<uint64_t>(at), 1)) vale::prefetch_to_write(buffer);
}

// Whether the buffers from the head on hold so many bytes. Descriptors without an address are passed over: SDM 3.2.4.
Receive::Room Receive::find_room(uint32_t bytes) noexcept {
  for (bool again = state_.shared;; again = false) {
    uint64_t room = 0;
    for (uint32_t i = ring_.head(); room < bytes && i != ring_.tail(); i = ring_.next(i)) {
      const uint8_t* const at = ring_.at(i);
      if (at == nullptr) {
        state_.breaks(Fault::kRxRing);
        return Room::kBroken;
      }
      if (load_once<uint64_t>(at) != 0) room += buffer_bytes_;
    }
    if (room >= bytes) return Room::kEnough;
    if (uint64_t{ring_.count() - 1} * buffer_bytes_ < bytes) return Room::kNever;
    if (!again) return Room::kTooFew;
    reload_tail();
    if (state_.fault != Fault::kNone) return Room::kBroken;
  }
}

// The next bytes of the frame in hand to a descriptor's buffer.
bool Receive::fill(uint8_t* descriptor, uint32_t bytes, size_t& piece, size_t& into) noexcept {
  uint64_t address = load_once<uint64_t>(descriptor);
  while (bytes > 0) {
    const guest::GuestMemory::Piece to = state_.memory.piece(address, bytes);
    if (to.at == nullptr) {
      state_.breaks(Fault::kRxBuffer);
      return false;
    }
    for (auto left = static_cast<size_t>(to.bytes), at = size_t{0}; left > 0;) {
      const Source source = pieces_[piece].subspan(into);
      const size_t step = std::min(left, source.size());
      copy(to.at + at, source.data(), step);
      at += step;
      left -= step;
      into += step;
      if (into == pieces_[piece].size()) {
        piece++;
        into = 0;
      }
    }
    state_.memory.written(address, to.bytes);
    address += to.bytes;
    bytes -= static_cast<uint32_t>(to.bytes);
  }
  return true;
}

bool Receive::write_header(uint32_t index, const vale::VnetHdr& header) noexcept {
  const uint64_t address = headers_ + uint64_t{index} * kHeaderSlot;
  uint8_t* const at = state_.memory.at(address, kHeaderSlot);
  if (at == nullptr) {
    state_.breaks(Fault::kHeaderRing);
    return false;
  }
  const uint8_t flags = header.flags & (vale::kVnetNeedsCsum | vale::kVnetDataValid);
  const uint64_t low = uint64_t{flags} | uint64_t{header.gso_type} << 8 | uint64_t{header.hdr_len} << 16 |
                       uint64_t{header.gso_size} << 32 | uint64_t{header.csum_start} << 48;
  // Mostly what stands there already: a line that nobody writes stays in both caches.
  if (load_once<uint64_t>(at) == low && load_once<uint16_t>(at + 8) == header.csum_offset) return true;
  store<uint64_t>(at, low);
  store<uint16_t>(at + 8, header.csum_offset);
  state_.memory.written(address, kHeaderSlot);
  return true;
}

void Receive::close(uint32_t index, uint32_t bytes, bool last, const Frame& frame) noexcept {
  uint8_t* const at = ring_.at(index);
  if (at == nullptr) return state_.breaks(Fault::kRxRing);
  uint8_t status = kDone | (frame.strip ? kVp : 0);
  if (last) status |= kEop | frame.checksum.status;
  store_release64(at + 8, write_back(bytes, status, last ? frame.checksum : RxChecksum{}, frame.strip ? frame.tag : 0));
  state_.memory.written(ring_.guest_address(index) + 8, 8);
}

void Receive::count(const Frame& frame) noexcept {
  waiting_ = false;
  state_.statistics.received(frame.wire, frame.first_byte, frame.broadcast);
  state_.counters.rx_packets++;
  state_.counters.rx_bytes += frame.wire;
}

// The frame in hand, to as many descriptors as it takes; all of them or none.
Delivery Receive::write(const Frame& frame, const vale::VnetHdr* header) noexcept {
  switch (find_room(frame.bytes)) {
    case Room::kEnough:
      break;
    case Room::kTooFew:
      return no_buffers((frame.bytes + buffer_bytes_ - 1) / buffer_bytes_);
    case Room::kNever:
      return drop(Drop::kRxTooLong);
    case Room::kBroken:
      return Delivery::kBroken;
  }
  prefetch();
  uint32_t index = ring_.head();
  if (header != nullptr && !write_header(index, *header)) return Delivery::kBroken;
  size_t piece = 0, into = 0;
  for (uint32_t left = frame.bytes; left > 0; index = ring_.next(index)) {
    if (index == ring_.tail()) return drop(Drop::kRxNoBuffers);  // its driver has emptied descriptors under us
    uint8_t* const at = ring_.at(index);
    const uint32_t step = load_once<uint64_t>(at) == 0 ? 0 : std::min(left, buffer_bytes_);
    if (!fill(at, step, piece, into)) return Delivery::kBroken;
    left -= step;
    close(index, step, left == 0, frame);
  }
  ring_.set_head(index);
  count(frame);
  return Delivery::kDone;
}

// A large segment for a driver that takes none: cut, each part into a buffer straight where it fits.
Delivery Receive::cut(const vale::VnetHdr& hdr, std::span<const Source> pieces, uint32_t bytes,
                      const Frame& frame) noexcept {
  uint8_t* to = large_.get();
  store<uint64_t>(to, uint64_t{hdr.flags} | uint64_t{hdr.gso_type} << 8 | uint64_t{hdr.hdr_len} << 16 |
                          uint64_t{hdr.gso_size} << 32 | uint64_t{hdr.csum_start} << 48);
  store<uint16_t>(to + 8, hdr.csum_offset);
  to += vale::kVnetHdrBytes;
  for (const Source& piece : pieces) {
    std::memcpy(to, piece.data(), piece.size());
    to += piece.size();
  }
  vale::Segmenter segmenter;
  const bool jumbo = (state_.rctl & kRctlLpe) != 0;
  const vale::OutputForm form{.hdr_len = 0,
                              .takes_offloads = false,
                              .max_frame = jumbo ? vale::kNoFrameLimit : kLongestSegment,
                              .fragment_seed = ++fragment_seed_};
  if (segmenter.start({large_.get(), bytes + vale::kVnetHdrBytes}, vale::kVnetHdrBytes, form) != vale::Refusal::kNone)
    return drop(Drop::kRxConvert);
  const auto crc = state_.rctl & kRctlSecrc ? 0 : kCrcBytes;
  const auto each = static_cast<uint32_t>((segmenter.packet_bytes(0) + crc + buffer_bytes_ - 1) / buffer_bytes_);
  const uint64_t needed = std::min<uint64_t>(uint64_t{each} * segmenter.packets(), std::max(ring_.count() / 2, 1u));
  if (ring_.distance(ring_.head(), ring_.tail()) < needed) {
    reload_tail();
    if (state_.fault != Fault::kNone) return Delivery::kBroken;
    if (ring_.distance(ring_.head(), ring_.tail()) < needed) return no_buffers(static_cast<uint32_t>(needed));
  }
  for (size_t i = 0; i < segmenter.packets(); i++) {
    const Delivery done = write_segment(segmenter, static_cast<uint32_t>(segmenter.packet_bytes(i)), frame);
    if (done == Delivery::kBroken) return done;
    if (done != Delivery::kNoBuffers) continue;
    // Those before it are the driver's already.
    state_.counters.drop(Drop::kRxNoBuffers, segmenter.packets() - i);
    break;
  }
  return Delivery::kDone;
}

Delivery Receive::write_segment(vale::Segmenter& segmenter, uint32_t bytes, const Frame& like) noexcept {
  Frame frame = like;
  if (!like.strip && headers_ == 0 && write_straight(segmenter, bytes, frame)) return Delivery::kDone;
  if (state_.fault != Fault::kNone) return Delivery::kBroken;
  if (segmenter.next({segment_.get(), kLargeBytes}) == 0) return drop(Drop::kRxConvert);
  pieces_[0] = {segment_.get(), bytes};
  count_ = 1;
  frame.trusted = true;
  static constexpr vale::VnetHdr kNothing{};
  return send_up(frame, bytes, headers_ != 0 ? &kNothing : nullptr);
}

// Where so many bytes fit whole, the next descriptor's buffer; nullptr: they need another way.
uint8_t* Receive::straight(uint32_t bytes) noexcept {
  const uint32_t index = ring_.head();
  if (index == ring_.tail() || bytes > buffer_bytes_) return nullptr;
  const uint8_t* const descriptor = ring_.at(index);
  if (descriptor == nullptr) return nullptr;
  straight_address_ = load_once<uint64_t>(descriptor);
  return straight_address_ == 0 ? nullptr : state_.memory.at(straight_address_, bytes);
}

// All of a frame is there.
void Receive::written_straight(uint32_t bytes, const Frame& frame) noexcept {
  const uint32_t index = ring_.head();
  state_.memory.written(straight_address_, bytes);
  close(index, bytes, true, frame);
  ring_.set_head(ring_.next(index));
  count(frame);
}

// A frame to which nothing is to be done. False, with nothing shown: this one needs another way, or see fault.
bool Receive::copy_straight(const Source& source, const vale::VnetHdr* header, Frame& frame) noexcept {
  const auto bytes = static_cast<uint32_t>(source.size());
  if (bytes < kShortestOnWire || !may_be_so_long(bytes) || frame.strip || !(state_.rctl & kRctlSecrc) ||
      (state_.rxcsum & (kRxcsumIpofl | kRxcsumTuofl)) != 0)
    return false;
  uint8_t* const to = straight(bytes);
  if (to == nullptr) return false;
  prefetch();
  // Behind the first line, which was asked for long ago.
  for (uint32_t at = kCacheLine; at < bytes; at += kCacheLine) vale::prefetch_to_write(to + at);
  if (header != nullptr && !write_header(ring_.head(), *header)) return false;
  copy(to, source.data(), bytes);
  frame.wire = frame.bytes = bytes;
  written_straight(bytes, frame);
  return true;
}

// A segment, cut to where it belongs. False, with nothing written: this one needs another way.
bool Receive::write_straight(vale::Segmenter& segmenter, uint32_t bytes, Frame& frame) noexcept {
  const uint32_t crc = state_.rctl & kRctlSecrc ? 0 : kCrcBytes;
  uint8_t* const to = bytes < kShortestOnWire ? nullptr : straight(bytes + crc);
  if (to == nullptr) return false;
  prefetch();
  (void)segmenter.next({to, bytes});
  const Source whole(to, bytes);
  if (crc > 0) store<uint32_t>(to + bytes, crc_of({&whole, 1}));
  if (state_.rxcsum & (kRxcsumIpofl | kRxcsumTuofl))
    frame.checksum = check_received({&whole, 1}, bytes, state_.rxcsum, true);
  frame.wire = bytes;
  frame.bytes = bytes + crc;
  written_straight(frame.bytes, frame);
  return true;
}

}  // namespace unetmap::e1000
