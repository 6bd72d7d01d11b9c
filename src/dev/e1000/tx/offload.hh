// SPDX-License-Identifier: BSD-2-Clause
// What a context asks to be done to a frame, turned into a virtio-net header where that can say it, or done here.
#pragma once

#include <cstdint>
#include <span>

#include "dev/e1000/tx/descriptor.hh"
#include "vale/vnet_hdr.hh"

namespace unetmap::e1000 {

inline constexpr unsigned kVlanBytes = 4;
inline constexpr unsigned kMaxHeadBytes = 255;  // HDRLEN has 8 bits

// A large segment to be cut by whoever takes it. `head` is a copy of its first HDRLEN bytes, of `bytes` in all: its
// lengths and sums are put right, and hdr says the rest. False: the request is not one that a virtio-net header can
// express; nothing was changed.
[[nodiscard]] bool describe_segment(std::span<uint8_t> head, uint32_t bytes, const TxContext& context,
                                    const TxRequest& request, vale::VnetHdr& hdr) noexcept;

// The checksum that the context or the legacy descriptor asks for, as a virtio-net header. False: it has to be done
// here. Hardware ignores one whose field lies outside of the frame, and so do we.
[[nodiscard]] bool describe_checksum(uint32_t bytes, const TxContext& context, const TxRequest& request,
                                     vale::VnetHdr& hdr) noexcept;

// How many bytes of the head are needed for the header checksum of IP; 0: none is to be made. False: more than a head
// has.
[[nodiscard]] bool ip_checksum_range(uint32_t bytes, const TxContext& context, unsigned& needed) noexcept;

// One's complement sum of [from, to) to `at`, all in `frame`.
void insert_checksum(std::span<uint8_t> frame, unsigned from, uint32_t to, unsigned at) noexcept;

// All that is asked for, in place, without segmentation.
void finish_checksums(std::span<uint8_t> frame, const TxContext& context, const TxRequest& request) noexcept;

// Segment number `index` of a frame that is cut here, as the card does it (SDM 3.5): `head` is a fresh copy of its
// header, `payload` what this segment carries. The transport checksum is left to hdr.
void cut_segment(std::span<uint8_t> head, uint32_t index, uint32_t payload, bool last, const TxContext& context,
                 const TxRequest& request, vale::VnetHdr& hdr) noexcept;

// Whether cut_segment can do it: headers that lie in the head.
[[nodiscard]] bool can_cut(uint32_t bytes, const TxContext& context, const TxRequest& request) noexcept;

}  // namespace unetmap::e1000
