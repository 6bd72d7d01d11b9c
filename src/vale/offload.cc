// SPDX-License-Identifier: BSD-2-Clause
#include "vale/offload.hh"

#include <cstring>

#include "vale/checksum.hh"

namespace unetmap::vale {
namespace {

// Header to header, offloads and all.
bool header_goes_along(size_t in_hdr_len, const OutputForm& output) noexcept {
  return in_hdr_len > 0 && output.hdr_len > 0 && output.takes_offloads;
}

}  // namespace

bool frame_unchanged(std::span<const uint8_t> in_hdr, const OutputForm& output) noexcept {
  if (in_hdr.size() < kVnetHdrBytes || header_goes_along(in_hdr.size(), output)) return true;
  const VnetHdr hdr = load_vnet_hdr(in_hdr.data());
  return hdr.gso_type == kGsoNone && (hdr.flags & kVnetNeedsCsum) == 0;
}

void write_output_hdr(std::span<const uint8_t> in_hdr, const OutputForm& output, uint8_t* out) noexcept {
  if (output.hdr_len == 0) return;
  uint8_t hdr[kVnetHdrMrgBytes] = {};
  hdr[kVnetHdrBytes] = 1;  // num_buffers, little endian
  if (header_goes_along(in_hdr.size(), output)) {
    std::memcpy(hdr, in_hdr.data(), in_hdr.size() < sizeof hdr ? in_hdr.size() : sizeof hdr);
  }
  std::memcpy(out, hdr, output.hdr_len);
}

Refusal Segmenter::start(std::span<const uint8_t> in, unsigned in_hdr_len, const OutputForm& output) noexcept {
  packets_ = 0;
  next_ = 0;
  if (!is_vnet_hdr_len(in_hdr_len) || !is_vnet_hdr_len(output.hdr_len)) return Refusal::kBadHeaderLength;
  if (in.size() < in_hdr_len) return Refusal::kTruncatedVnetHdr;
  frame_ = in.subspan(in_hdr_len);
  if (frame_.size() < kEthernetHeaderBytes) return Refusal::kFrameTooShort;

  uint8_t in_hdr[kVnetHdrMrgBytes] = {};
  std::memcpy(in_hdr, in.data(), in_hdr_len);
  out_hdr_len_ = output.hdr_len;
  write_output_hdr({in_hdr, in_hdr_len}, output, out_hdr_);
  work_ = Work::kCopy;
  if (!header_goes_along(in_hdr_len, output)) {
    const Refusal refusal = choose_work(load_vnet_hdr(in_hdr), output);
    if (refusal != Refusal::kNone) return refusal;
  }
  packets_ = work_ == Work::kSegment ? plan_.frames() : 1;
  return Refusal::kNone;
}

Refusal Segmenter::choose_work(const VnetHdr& hdr, const OutputForm& output) noexcept {
  if (hdr.gso_type != kGsoNone) {
    const Refusal refusal = plan_.make(frame_, hdr, output.max_frame, output.fragment_seed);
    if (refusal != Refusal::kNone) return refusal;
    if (plan_.frames() > 1) {
      work_ = Work::kSegment;
      return Refusal::kNone;
    }
  }
  if (hdr.flags & kVnetNeedsCsum) {
    const size_t field_end = size_t{hdr.csum_start} + hdr.csum_offset + 2;
    if (hdr.csum_start < kEthernetHeaderBytes || field_end > frame_.size()) return Refusal::kChecksumRange;
    work_ = Work::kChecksum;
    csum_start_ = hdr.csum_start;
    csum_offset_ = hdr.csum_offset;
  }
  const size_t limit = output.max_frame;
  if (frame_.size() > limit && frame_.size() - limit > kVlanTagBytes * count_vlan_tags(frame_)) {
    return Refusal::kFrameTooLong;
  }
  return Refusal::kNone;
}

size_t Segmenter::packet_bytes(size_t index) const noexcept {
  if (index >= packets_) return 0;
  return out_hdr_len_ + (work_ == Work::kSegment ? plan_.frame_bytes(index) : frame_.size());
}

size_t Segmenter::next(std::span<uint8_t> out) noexcept {
  const size_t bytes = packet_bytes(next_);
  if (bytes == 0 || out.size() < bytes) return 0;
  std::memcpy(out.data(), out_hdr_, out_hdr_len_);
  uint8_t* const frame = out.data() + out_hdr_len_;
  if (work_ == Work::kSegment) {
    plan_.write(next_, frame);
  } else {
    std::memcpy(frame, frame_.data(), frame_.size());
    if (work_ == Work::kChecksum) {
      // The field holds the pseudo header's sum and is part of the range. 0 is written as 0xffff whatever the
      // protocol: only UDP needs it, to the others both mean the same.
      const uint64_t sum = checksum_add({frame + csum_start_, frame_.size() - csum_start_});
      store_checksum(frame + csum_start_ + csum_offset_, checksum_finish_nonzero(sum));
    }
  }
  ++next_;
  return bytes;
}

}  // namespace unetmap::vale
