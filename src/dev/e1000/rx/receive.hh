// SPDX-License-Identifier: BSD-2-Clause
// The receive ring: from frames to descriptors. SDM 3.2.
//
// A frame passes the filters, loses its VLAN tag where the driver wants that, gets what the wire would have given it
// (padding, CRC), and fills one descriptor or several. Large segments and checksums that are still to be made go along
// as they are to a driver that gave a place for their headers (the extension), and are finished first for any other.
#pragma once

#include <array>
#include <memory>

#include "dev/e1000/ring.hh"
#include "dev/e1000/rx/checksum.hh"
#include "dev/e1000/state.hh"
#include "vale/offload.hh"

namespace unetmap::e1000 {

class Receive {
 public:
  explicit Receive(State& state);
  void reset() noexcept;

  [[nodiscard]] Ring& ring() noexcept { return ring_; }
  void set_rctl(uint32_t value) noexcept;

  [[nodiscard]] bool receiving() const noexcept;
  Delivery deliver(const vale::VnetHdr& hdr, std::span<const Source> pieces) noexcept;
  void finish() noexcept;
  void missed(uint64_t frames) noexcept;
  [[nodiscard]] bool arm() noexcept;
  void disarm() noexcept;
  // The driver has named a block: shows it where we are.
  void introduce() noexcept;

 private:
  static constexpr uint32_t kHeadBytes = 128;         // copied, where something in it has to be changed
  static constexpr size_t kMostPieces = 512;          // of a frame as it comes
  static constexpr uint32_t kLargeBytes = 128 << 10;  // of a segment to be cut, and of one of its parts

  // What there is to know of a frame besides its bytes, which are in pieces_.
  struct Frame {
    uint32_t bytes = 0;  // what is written: with padding and CRC, without a tag that is taken out
    uint32_t wire = 0;   // with padding, without CRC
    RxChecksum checksum;
    bool strip = false;
    uint16_t tag = 0;
    bool trusted = false;
    uint8_t first_byte = 0;
    bool broadcast = false;
  };

  bool begin() noexcept;
  void reload_tail() noexcept;
  bool passes(std::span<const Source> pieces, uint32_t bytes, Frame& frame) noexcept;
  bool may_be_so_long(uint32_t bytes) const noexcept;
  void take(std::span<const Source> pieces) noexcept;
  void strip_tag() noexcept;
  bool set_checksum(const vale::VnetHdr& hdr, uint32_t bytes) noexcept;
  void take_head(uint32_t bytes) noexcept;
  void finish_frame(uint32_t bytes, Frame& frame) noexcept;
  Delivery send_up(Frame& frame, uint32_t bytes, const vale::VnetHdr* header) noexcept;
  Delivery write(const Frame& frame, const vale::VnetHdr* header) noexcept;
  enum class Room : uint8_t { kEnough, kTooFew, kNever, kBroken };
  Room find_room(uint32_t bytes) noexcept;
  bool fill(uint8_t* descriptor, uint32_t bytes, size_t& piece, size_t& into) noexcept;
  bool write_header(uint32_t index, const vale::VnetHdr& header) noexcept;
  void close(uint32_t index, uint32_t bytes, bool last, const Frame& frame) noexcept;
  void count(const Frame& frame) noexcept;
  Delivery cut(const vale::VnetHdr& hdr, std::span<const Source> pieces, uint32_t bytes, const Frame& frame) noexcept;
  Delivery write_segment(vale::Segmenter& segmenter, uint32_t bytes, const Frame& like) noexcept;
  uint8_t* straight(uint32_t bytes) noexcept;
  void written_straight(uint32_t bytes, const Frame& frame) noexcept;
  bool copy_straight(const Source& frame, const vale::VnetHdr* header, Frame& of) noexcept;
  bool write_straight(vale::Segmenter& segmenter, uint32_t bytes, Frame& frame) noexcept;
  Delivery no_buffers(uint32_t needed) noexcept;
  Delivery drop(Drop cause) noexcept;
  void prefetch() const noexcept;

  State& state_;
  Ring ring_;
  uint32_t buffer_bytes_ = 2048;
  bool under_way_ = false;
  uint32_t first_ = 0;  // the head when the batch began
  uint32_t free_before_ = 0;
  uint32_t generation_ = 0;  // of the memory, when the batch began
  uint32_t written_ = 0;     // of the ring, then
  bool waiting_ = false;     // the last frame found too few buffers
  uint32_t needed_ = 0;      // descriptors that it needs
  bool armed_ = false;
  uint64_t straight_address_ = 0;  // of the buffer that straight() found
  uint64_t headers_ = 0;           // where the driver wants the virtio-net headers; 0: nowhere
  uint32_t fragment_seed_ = 0;
  size_t count_ = 0;                            // of pieces_
  std::array<Source, kMostPieces + 4> pieces_;  // the frame in hand
  std::array<uint8_t, kHeadBytes> head_;
  std::array<uint8_t, 4> crc_;
  std::unique_ptr<uint8_t[]> large_, segment_;
};

}  // namespace unetmap::e1000
