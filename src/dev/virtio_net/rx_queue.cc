// SPDX-License-Identifier: BSD-2-Clause
#include "dev/virtio_net/rx_queue.hh"

#include <algorithm>

#include "guest/words.hh"
#include "vale/copy.hh"

namespace unetmap::virtio {
namespace {

constexpr size_t kTakeAtOnce = 32;
constexpr uint32_t kCacheLine = 64;
constexpr uint32_t kMaxAhead = 2048;  // bytes of a packet asked for before it is copied: more would push out others

// Most frames are short: no call for them. All of it is loaded before any of it is stored.
inline void copy(uint8_t* to, const uint8_t* from, size_t bytes) noexcept {
  using Vector [[gnu::vector_size(16)]] = uint64_t;
  if (bytes < 32 || bytes > 64) {
    std::memcpy(to, from, bytes);
    return;
  }
  const auto load = [&](size_t at) {
    Vector v;
    std::memcpy(&v, from + at, sizeof v);
    return v;
  };
  const auto store = [&](size_t at, Vector v) { std::memcpy(to + at, &v, sizeof v); };
  const Vector first = load(0), second = load(16), third = load(bytes - 32), last = load(bytes - 16);
  store(0, first);
  store(16, second);
  store(bytes - 32, third);
  store(bytes - 16, last);
}

// The header and the sources as one run of bytes.
class Reader {
 public:
  Reader(RxQueue::Source header, std::span<const RxQueue::Source> frame) noexcept : now_(header), frame_(frame) {}

  // There are that many left.
  void read(uint8_t* to, uint32_t bytes) noexcept {
    while (bytes > 0) {
      while (now_.empty()) {
        now_ = frame_.front();
        frame_ = frame_.subspan(1);
      }
      const size_t step = std::min<size_t>(bytes, now_.size());
      std::memcpy(to, now_.data(), step);
      now_ = now_.subspan(step);
      to += step;
      bytes -= static_cast<uint32_t>(step);
    }
  }

 private:
  RxQueue::Source now_;
  std::span<const RxQueue::Source> frame_;
};

// The header as it lies in memory, in two words.
struct HeaderWords {
  uint64_t low;   // all but
  uint32_t high;  // the checksum's offset, and the number of buffers where the header has it

  HeaderWords(const vale::VnetHdr& hdr, const Offloads& agreed, uint16_t buffers) noexcept {
    uint8_t flags = hdr.flags & vale::kVnetNeedsCsum;
    // "Verified" goes to those who understand checksums at all, and says nothing about one that is not there yet.
    if (flags == 0 && agreed.checksum) flags = hdr.flags & vale::kVnetDataValid;
    low = little_endian(uint64_t{flags} | uint64_t{hdr.gso_type} << 8 | uint64_t{hdr.hdr_len} << 16 |
                        uint64_t{hdr.gso_size} << 32 | uint64_t{hdr.csum_start} << 48);
    high = little_endian(uint32_t{hdr.csum_offset} | uint32_t{buffers} << 16);
  }
  void store(uint8_t* to, uint32_t bytes) const noexcept {
    std::memcpy(to, &low, sizeof low);
    std::memcpy(to + sizeof low, &high, bytes == vale::kVnetHdrMrgBytes ? 4 : 2);
  }
  // Writes only what is not there already: a line that neither side writes stays in both caches. Whether it was there.
  bool refresh(uint8_t* to, uint32_t bytes) const noexcept {
    const auto old_low = load_once<uint64_t>(to);
    const bool whole = bytes == vale::kVnetHdrMrgBytes;
    const uint32_t old_high = whole ? load_once<uint32_t>(to + 8) : load_once<uint16_t>(to + 8);
    if (old_low == little_endian(low) && old_high == (whole ? little_endian(high) : little_endian(high) & 0xffff))
      return true;
    store(to, bytes);
    return false;
  }
};

}  // namespace

RingFault RxQueue::start(const guest::GuestMemory& memory, const RingSetup& setup) noexcept {
  agreed_ = guest_offloads(setup.features);
  header_bytes_ = static_cast<uint32_t>(header_bytes(setup.features));
  mergeable_ = (setup.features & kMrgRxbuf) != 0;
  memory_ = &memory;
  cursor_ = seen_ = 0;
  under_way_ = call_ = false;
  return ring_.start(memory, setup);
}

// More chains into the window, and their buffers into our cache; how many.
size_t RxQueue::take_more(ChainBatch& batch, size_t count) noexcept {
  const size_t at = batch.size(), taken = ring_.take(batch, count);
  for (size_t i = at; i < at + taken; i++) {
    if (batch[i].writable == 0) {
      ring_.breaks(RingFault::kNothingToWrite);
      return 0;
    }
    const Piece& first = batch.writable(batch[i])[0];
    const bool header_alone = reinterpret_cast<uintptr_t>(first.at) % kCacheLine + header_bytes_ >= kCacheLine;
    if (header_stays_ && header_alone)
      __builtin_prefetch(first.at);
    else
      vale::prefetch_to_write(first.at);
    vale::prefetch_to_write(first.at + std::min(kCacheLine, first.bytes - 1));
  }
  return taken;
}

// Whether the driver has no descriptor left to offer more buffers with: waiting for them would be for ever.
bool RxQueue::all_offered(const ChainBatch& batch) const noexcept {
  uint32_t descriptors = 0;
  for (size_t at = cursor_; at < batch.size(); at++) descriptors += batch[at].descriptors;
  return descriptors >= ring_.size();
}

// How many chains from the cursor on hold so many bytes.
RxQueue::Room RxQueue::find_room(ChainBatch& batch, uint64_t bytes, size_t& chains) noexcept {
  uint64_t room = 0;
  for (size_t at = cursor_;;) {
    if (at == batch.size()) {
      if (batch.full() && cursor_ == 0) return Room::kTooManyPieces;
      if (batch.full()) {
        // Of what this round has used up; a new one has room.
        call_ = ring_.finish() || call_;
        begin(batch);
        at = 0;
        room = 0;
      }
      if (take_more(batch, kTakeAtOnce) == 0) {
        if (!ring_.running()) return Room::kBroken;
        if (batch.full()) continue;
        if (all_offered(batch)) return Room::kTooManyPieces;
        seen_ = batch.size() - cursor_;
        return Room::kNoBuffers;
      }
    }
    room += batch[at++].writable_bytes;
    if (room >= bytes) {
      chains = at - cursor_;
      return Room::kEnough;
    }
    if (!mergeable_) return Room::kTooLong;
  }
}

void RxQueue::fill(const ChainBatch& batch, size_t chains, Source header, std::span<const Source> frame,
                   uint32_t bytes) noexcept {
  Reader reader(header, frame);
  for (size_t i = 0; i < chains; i++) {
    const Chain& chain = batch[cursor_ + i];
    const uint32_t here = std::min(bytes, chain.writable_bytes);
    uint32_t left = here;
    for (const Piece& piece : batch.writable(chain)) {
      const uint32_t step = std::min(left, piece.bytes);
      reader.read(piece.at, step);
      memory_->written(piece.guest, step);
      left -= step;
      if (left == 0) break;
    }
    ring_.give(chain, here);
    bytes -= here;
  }
}

Delivery RxQueue::deliver(ChainBatch& batch, const vale::VnetHdr& hdr, std::span<const Source> frame) noexcept {
  if (!ring_.running()) return Delivery::kBroken;
  uint64_t bytes = 0;
  for (const Source& source : frame) bytes += source.size();
  switch (fit(hdr, bytes, agreed_)) {
    case Fit::kWhole:
      break;
    case Fit::kSoftware:
      return Delivery::kNeedsSoftware;
    case Fit::kBad:
      counters_.bad_header++;
      return Delivery::kDropped;
  }
  if (!under_way_) begin(batch);
  size_t chains = 0;
  const uint64_t with_header = bytes + header_bytes_;
  switch (find_room(batch, with_header, chains)) {
    case Room::kEnough:
      break;
    case Room::kNoBuffers:
      counters_.no_buffers++;
      return Delivery::kNoBuffers;
    case Room::kTooLong:
      counters_.too_long++;
      return Delivery::kDropped;
    case Room::kTooManyPieces:
      counters_.too_many_pieces++;
      return Delivery::kDropped;
    case Room::kBroken:
      return Delivery::kBroken;
  }
  const HeaderWords header(hdr, agreed_, static_cast<uint16_t>(chains));
  const Chain& first = batch[cursor_];
  if (chains == 1 && first.writable == 1) [[likely]] {
    const Piece& piece = batch.writable(first)[0];
    header_stays_ = header.refresh(piece.at, header_bytes_);
    uint8_t* to = piece.at + header_bytes_;
    // Beyond what take_more() asked for.
    const uint64_t ahead = std::min<uint64_t>(with_header, kMaxAhead);
    for (uint64_t at = 2 * kCacheLine; at < ahead; at += kCacheLine) vale::prefetch_to_write(piece.at + at);
    for (const Source& source : frame) {
      copy(to, source.data(), source.size());
      to += source.size();
    }
    memory_->written(piece.guest, with_header);
    ring_.give(first, static_cast<uint32_t>(with_header));
  } else {
    uint8_t copy[vale::kVnetHdrMrgBytes];
    header.store(copy, header_bytes_);
    fill(batch, chains, {copy, header_bytes_}, frame, static_cast<uint32_t>(with_header));
  }
  cursor_ += chains;
  seen_ -= std::min(seen_, chains);
  counters_.packets++;
  counters_.bytes += bytes;
  return Delivery::kDone;
}

void RxQueue::begin(ChainBatch& batch) noexcept {
  batch.clear();
  under_way_ = true;
  cursor_ = 0;
}

bool RxQueue::finish() noexcept {
  under_way_ = false;
  const bool call = ring_.finish() || call_;
  call_ = false;
  counters_.calls += call;
  return call;
}

bool RxQueue::arm(ChainBatch& batch) noexcept {
  batch.clear();
  (void)ring_.take(batch, kMaxChains);
  const bool more = ring_.arm();
  const bool enough = more || batch.full() || batch.size() > seen_;
  call_ |= ring_.finish();  // nothing was given back: this only forgets what was taken
  return enough;
}

}  // namespace unetmap::virtio
