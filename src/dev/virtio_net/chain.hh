// SPDX-License-Identifier: BSD-2-Clause
// Chains of guest buffers, checked and translated: what the layers above the rings work on.
//
// A chain is a number of readable pieces, then a number of writable ones, each within one region of guest memory. The
// pointers are good until the memory changes (GuestMemory::generation()), so a batch lives no longer than one round.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dev/virtio_net/fault.hh"
#include "guest/guest_memory.hh"

namespace unetmap::virtio {

struct Piece {
  uint8_t* at;
  uint64_t guest;  // its address in the guest, for the log of written pages
  uint32_t bytes;
};

struct Chain {
  uint32_t first_piece;  // in the batch
  uint16_t readable;     // pieces
  uint16_t writable;
  uint32_t readable_bytes;
  uint32_t writable_bytes;
  uint16_t id;           // what the driver wants back
  uint16_t descriptors;  // of the ring itself: those of an indirect table count as one
};

inline constexpr size_t kMaxChains = 128;        // in a batch
inline constexpr size_t kMaxChainPieces = 1024;  // more is a fault: no device takes longer chains
inline constexpr size_t kMaxBatchPieces = 2048;

// Chains in the order in which the driver made them available. Large (about 50 KB): one per thread, not on the stack.
class ChainBatch {
 public:
  void clear() noexcept {
    chains_ = pieces_ = 0;
    full_ = false;
  }
  [[nodiscard]] size_t size() const noexcept { return chains_; }
  [[nodiscard]] bool empty() const noexcept { return chains_ == 0; }
  // The next chain has no room here, though perhaps a shorter one would.
  [[nodiscard]] bool full() const noexcept { return full_ || chains_ == kMaxChains; }
  [[nodiscard]] size_t room() const noexcept { return kMaxChains - chains_; }
  [[nodiscard]] const Chain& operator[](size_t index) const noexcept { return chain_[index]; }
  [[nodiscard]] std::span<const Piece> readable(const Chain& chain) const noexcept {
    return {&piece_[chain.first_piece], chain.readable};
  }
  [[nodiscard]] std::span<const Piece> writable(const Chain& chain) const noexcept {
    return {&piece_[chain.first_piece + chain.readable], chain.writable};
  }

  // Adds a chain of one buffer in one region, which most are. False: it is none such, nothing happened; ChainBuilder
  // says what is the matter. There must be room for a chain.
  [[nodiscard]] bool add_plain(const guest::GuestMemory& memory, uint64_t guest, uint32_t bytes, bool writable,
                               uint16_t id) noexcept {
    if (bytes == 0 || pieces_ == kMaxBatchPieces) return false;
    uint8_t* const at = memory.at(guest, bytes);
    if (at == nullptr) return false;
    chain_[chains_++] = {.first_piece = static_cast<uint32_t>(pieces_),
                         .readable = static_cast<uint16_t>(writable ? 0 : 1),
                         .writable = static_cast<uint16_t>(writable ? 1 : 0),
                         .readable_bytes = writable ? 0 : bytes,
                         .writable_bytes = writable ? bytes : 0,
                         .id = id,
                         .descriptors = 1};
    piece_[pieces_++] = {at, guest, bytes};
    return true;
  }

  // Takes the first `bytes` readable bytes of a chain away, of which it has that many: where they lie, if in one piece;
  // else they are copied to `out`.
  [[nodiscard]] const uint8_t* take_front(size_t index, uint32_t bytes, uint8_t* out) noexcept {
    Chain& chain = chain_[index];
    Piece& piece = piece_[chain.first_piece];
    if (piece.bytes < bytes) [[unlikely]]
      return gather_front(chain, bytes, out);
    const uint8_t* const at = piece.at;
    chain.readable_bytes -= bytes;
    if (piece.bytes == bytes) {
      chain.first_piece++;
      chain.readable--;
    } else {
      piece.at += bytes;
      piece.guest += bytes;
      piece.bytes -= bytes;
    }
    return at;
  }

 private:
  friend class ChainBuilder;
  const uint8_t* gather_front(Chain& chain, uint32_t bytes, uint8_t* out) noexcept;

  size_t chains_ = 0;
  size_t pieces_ = 0;
  bool full_ = false;
  std::array<Chain, kMaxChains> chain_;
  std::array<Piece, kMaxBatchPieces> piece_;
};

// Adds one chain to a batch, descriptor by descriptor.
class ChainBuilder {
 public:
  // kFull: the batch has no room for so long a chain; it will fit an empty one.
  enum class Step : uint8_t { kDone, kFull, kFault };

  // There must be room for a chain.
  ChainBuilder(const guest::GuestMemory& memory, ChainBatch& batch) noexcept
      : memory_(memory), batch_(batch), first_(batch.pieces_), next_(first_) {}

  [[nodiscard]] Step add(uint64_t guest, uint32_t bytes, bool writable) noexcept {
    if (bytes == 0) [[unlikely]]
      return fail(RingFault::kZeroLength);
    uint64_t& sum = writable ? writable_bytes_ : readable_bytes_;
    if (!writable && writable_bytes_ != 0) [[unlikely]]
      return fail(RingFault::kReadAfterWrite);
    sum += bytes;
    if (readable_bytes_ + writable_bytes_ > UINT32_MAX) [[unlikely]]
      return fail(RingFault::kChainBytes);
    for (;;) {
      const guest::GuestMemory::Piece piece = memory_.piece(guest, bytes);
      if (piece.at == nullptr) [[unlikely]]
        return fail(memory_.away(guest) ? RingFault::kAway : RingFault::kOutsideMemory);
      if (next_ - first_ == kMaxChainPieces) [[unlikely]]
        return fail(RingFault::kChainPieces);
      if (next_ == kMaxBatchPieces) [[unlikely]] {
        batch_.full_ = true;
        return Step::kFull;
      }
      batch_.piece_[next_++] = {piece.at, guest, static_cast<uint32_t>(piece.bytes)};
      if (!writable) readable_++;
      if (piece.bytes == bytes) return Step::kDone;
      guest += piece.bytes;
      bytes -= static_cast<uint32_t>(piece.bytes);
    }
  }

  // `count` descriptors of an indirect table (virtio 1.2, 2.7.5.3 and 2.8.7): `linked` by their next fields (split), or
  // one after the other (packed).
  [[nodiscard]] Step add_table(uint64_t guest, uint32_t bytes, bool linked) noexcept;

  // Makes the chain part of the batch; without it, nothing happened.
  void commit(uint16_t id, uint16_t descriptors) noexcept {
    batch_.chain_[batch_.chains_++] = {
        .first_piece = static_cast<uint32_t>(first_),
        .readable = readable_,
        .writable = static_cast<uint16_t>(next_ - first_ - readable_),
        .readable_bytes = static_cast<uint32_t>(readable_bytes_),
        .writable_bytes = static_cast<uint32_t>(writable_bytes_),
        .id = id,
        .descriptors = descriptors,
    };
    batch_.pieces_ = next_;
  }

  [[nodiscard]] RingFault fault() const noexcept { return fault_; }
  // After a Step::kFault found outside.
  Step fail(RingFault fault) noexcept {
    fault_ = fault;
    return Step::kFault;
  }

 private:
  const guest::GuestMemory& memory_;
  ChainBatch& batch_;
  size_t first_;
  size_t next_;
  uint64_t readable_bytes_ = 0;
  uint64_t writable_bytes_ = 0;
  uint16_t readable_ = 0;
  RingFault fault_ = RingFault::kNone;
};

}  // namespace unetmap::virtio
