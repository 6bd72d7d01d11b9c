// SPDX-License-Identifier: BSD-2-Clause
// Lets ports talk whose virtio-net header lengths differ: turns one input packet (header of 0, 10 or 12 bytes, then an
// Ethernet frame) into the output packets that the destination understands.
//
//   source    destination        what happens
//   none      none               copied
//   none      header             zero header (num_buffers 1), frame copied
//   header    takes offloads     header kept or translated (10 <-> 12), frame copied, GSO or not
//   header    none, or a header  checksum finished where asked for; GSO frames cut into segments (see segment.hh);
//             without offloads   a header, if any, is zero (num_buffers 1)
//
// No allocation, no system calls, no exceptions; every byte of the input may be hostile, and may change while we read.
//
//   Segmenter segmenter;                                    // about 700 bytes, no initialisation cost
//   if (Refusal why = segmenter.start(packet, 12, {.hdr_len = 0, .max_frame = 1514}); why != Refusal::kNone) drop(why);
//   reserve(segmenter.packets(), segmenter.packet_bytes(0));   // known before anything is written
//   while (size_t n = segmenter.next(slot_buffer)) ...
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "vale/segment.hh"
#include "vale/vnet_hdr.hh"

namespace unetmap::vale {

inline constexpr size_t kNoFrameLimit = SIZE_MAX;

// What a destination port takes.
struct OutputForm {
  unsigned hdr_len = 0;              // 0, 10 or 12
  bool takes_offloads = true;        // with a header: partial checksums and GSO frames are welcome
  size_t max_frame = kNoFrameLimit;  // Ethernet header + MTU; VLAN tags come on top. Not applied to packets whose
                                     // header goes along, as those may be GSO frames
  uint32_t fragment_seed = 0;        // varies the identification of IPv6 fragments; a counter will do
};

// True when packets with this input header leave with their frame bytes as they came, so that a caller may copy the
// frame slot by slot behind write_output_hdr, without gathering it. `in_hdr` is the start of the packet, of in_hdr_len
// bytes. A frame limit is then the caller's to check.
[[nodiscard]] bool frame_unchanged(std::span<const uint8_t> in_hdr, const OutputForm& output) noexcept;

// Writes the output header (output.hdr_len bytes) that belongs to an unchanged frame.
void write_output_hdr(std::span<const uint8_t> in_hdr, const OutputForm& output, uint8_t* out) noexcept;

class Segmenter {
 public:
  // Reads the packet and decides. `in` is the whole packet in one piece and must stay mapped until the last next().
  // After a refusal packets() is 0.
  [[nodiscard]] Refusal start(std::span<const uint8_t> in, unsigned in_hdr_len, const OutputForm& output) noexcept;

  // The exact number of output packets, and the bytes of each, header included. All but the last are equally long.
  [[nodiscard]] size_t packets() const noexcept { return packets_; }
  [[nodiscard]] size_t packet_bytes(size_t index) const noexcept;

  // Writes the next packet and returns its bytes; 0 when there is none left or `out` is too small (nothing written,
  // nothing lost).
  size_t next(std::span<uint8_t> out) noexcept;

 private:
  enum class Work : uint8_t { kCopy, kChecksum, kSegment };

  Refusal choose_work(const VnetHdr& hdr, const OutputForm& output) noexcept;

  std::span<const uint8_t> frame_;
  size_t packets_ = 0;
  size_t next_ = 0;
  unsigned out_hdr_len_ = 0;
  Work work_ = Work::kCopy;
  uint16_t csum_start_ = 0;
  uint16_t csum_offset_ = 0;
  uint8_t out_hdr_[kVnetHdrMrgBytes] = {};
  SegmentPlan plan_;
};

}  // namespace unetmap::vale
