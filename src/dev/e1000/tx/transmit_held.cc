// SPDX-License-Identifier: BSD-2-Clause
// Frames that are gathered before they go out: see transmit.hh.
#include <algorithm>

#include "dev/e1000/tx/transmit.hh"

namespace unetmap::e1000 {
namespace {

constexpr uint32_t kMinFrameBytes = 14;

}  // namespace

// The buffers of the descriptors from `from` up to `to`, behind what is held already.
bool Transmit::gather(uint32_t from, uint32_t to) noexcept {
  for (uint32_t i = from; i != to; i = ring_.next(i)) {
    const uint8_t* const at = ring_.at(i);
    if (at == nullptr) {
      state_.breaks(Fault::kTxRing);
      return false;
    }
    const TxDescriptor descriptor = TxDescriptor::load(at);
    if (descriptor.type() != TxDescriptor::Type::kData && descriptor.type() != TxDescriptor::Type::kLegacy) continue;
    uint64_t address = descriptor.address();
    uint32_t bytes = descriptor.bytes();
    if (held_.too_long || bytes > kHeldBytes - held_.bytes) {
      held_.too_long = true;
      continue;
    }
    while (bytes > 0) {
      const guest::GuestMemory::Piece piece = state_.memory.piece(address, bytes);
      if (piece.at == nullptr) {
        state_.breaks(Fault::kTxBuffer);
        return false;
      }
      std::memcpy(held_bytes_.get() + held_.bytes, piece.at, piece.bytes);
      held_.bytes += static_cast<uint32_t>(piece.bytes);
      address += piece.bytes;
      bytes -= static_cast<uint32_t>(piece.bytes);
    }
  }
  return true;
}

// The end of a frame was seen: gathers it, and makes it ready or drops it. False: broken.
bool Transmit::hold(const Found& found, const Place& after) noexcept {
  if (!gather(found.start, after.index)) return false;
  held_.request = found.request;
  held_.context = held_.request.segment ? after.contexts.segmentation : after.contexts.checksum;
  Drop cause = Drop::kTxOffload;
  bool good = false;
  if (held_.bytes < kMinFrameBytes) {
    cause = Drop::kTxTooShort;
  } else if (held_.too_long || (!held_.request.segment && held_.bytes > kMostBytes)) {
    cause = Drop::kTxTooLong;
  } else if (!held_.request.segment) {
    finish_checksums({held_bytes_.get(), held_.bytes}, held_.context, held_.request);
    held_.segments = 1;
    good = true;
  } else if (can_cut(held_.bytes, held_.context, held_.request)) {
    const uint32_t payload = held_.bytes - held_.context.header_bytes();
    held_.segments = (payload + held_.context.mss() - 1) / held_.context.mss();
    good = true;
  }
  if (!good) {
    held_ = {};
    drop(cause, after);
    return true;
  }
  held_.open = false;
  held_.ready = true;
  held_.accepted = 0;
  held_.after = after;
  return true;
}

size_t Transmit::fetch_held(std::span<TxFrame> frames) noexcept {
  for (uint32_t index = held_.accepted; index < held_.segments && fetched_ < frames.size(); index++) {
    TxFrame& frame = frames[fetched_];
    cut(index, frame);
    if (held_.request.vlan && (state_.ctrl & kCtrlVme)) insert_tag(held_.request.tag, frame);
    pad(frame);
    record(frame, held_.after);
  }
  return fetched_;
}

// One frame of those that the held one makes: its head copied, the rest where it is.
void Transmit::cut(uint32_t index, TxFrame& frame) noexcept {
  const std::span<uint8_t> head(heads_[fetched_].data(),
                                held_.request.segment ? held_.context.header_bytes() : kMinFrameBytes);
  std::memcpy(head.data(), held_bytes_.get(), head.size());
  const uint32_t all = held_.bytes - static_cast<uint32_t>(head.size());
  const uint32_t step = held_.request.segment ? held_.context.mss() : all;
  const uint32_t from = index * step, payload = std::min(step, all - from);
  frame.hdr = {};
  if (held_.request.segment)
    cut_segment(head, index, payload, index + 1 == held_.segments, held_.context, held_.request, frame.hdr);
  const size_t at = arena_used_;
  arena_[at] = {head.data(), head.size()};
  size_t count = 1;
  if (payload > 0) arena_[at + count++] = {held_bytes_.get() + head.size() + from, payload};
  frame.pieces = {&arena_[at], count};
  frame.bytes = static_cast<uint32_t>(head.size()) + payload;
}

}  // namespace unetmap::e1000
