// SPDX-License-Identifier: BSD-2-Clause
// The header in front of each packet of a virtio network device: what a guest may ask of us, what we may ask of it.
// Virtio 1.2, sections 5.1.6.2 (transmit) and 5.1.6.4 (receive).
#pragma once

#include <cstddef>
#include <cstdint>

#include "dev/virtio_net/features.hh"
#include "vale/vnet_hdr.hh"

namespace unetmap::virtio {

// 10 bytes for a legacy device without mergeable buffers, else 12.
[[nodiscard]] constexpr size_t header_bytes(uint64_t features) noexcept {
  return features & (kVersion1 | kMrgRxbuf) ? vale::kVnetHdrMrgBytes : vale::kVnetHdrBytes;
}

// What one side has agreed to take from the other.
struct Offloads {
  bool checksum = false;
  bool tso4 = false;
  bool tso6 = false;
  bool ecn = false;
  bool uso = false;

  bool operator==(const Offloads&) const = default;
};
// We from the guest.
[[nodiscard]] constexpr Offloads host_offloads(uint64_t features) noexcept {
  features = consistent(features);
  return {.checksum = (features & kCsum) != 0,
          .tso4 = (features & kHostTso4) != 0,
          .tso6 = (features & kHostTso6) != 0,
          .ecn = (features & kHostEcn) != 0,
          .uso = (features & kHostUso) != 0};
}
// The guest from us. A header does not say the IP version of a bundle of datagrams, so both are needed.
[[nodiscard]] constexpr Offloads guest_offloads(uint64_t features) noexcept {
  features = consistent(features);
  return {.checksum = (features & kGuestCsum) != 0,
          .tso4 = (features & kGuestTso4) != 0,
          .tso6 = (features & kGuestTso6) != 0,
          .ecn = (features & kGuestEcn) != 0,
          .uso = (features & kGuestUso4) != 0 && (features & kGuestUso6) != 0};
}

// Why a packet is refused: each is a counter.
enum class HeaderFault : uint8_t {
  kNone,
  kNoHeader,       // the chain is shorter than the header
  kFrameTooShort,  // ... than an Ethernet header behind it
  kFrameTooLong,   // more than kMaxFrameBytes
  kGsoType,        // unknown, or not negotiated
  kGsoSize,        // 0
  kGsoChecksum,    // a large frame that does not say where its checksum is
  kHeaderLength,   // longer than the frame
  kChecksum,       // not negotiated
  kChecksumRange,  // outside of the frame
};
inline constexpr size_t kHeaderFaults = static_cast<size_t>(HeaderFault::kChecksumRange) + 1;
[[nodiscard]] const char* counter_name(HeaderFault fault) noexcept;

inline constexpr uint32_t kMinFrameBytes = 14;
inline constexpr uint32_t kMaxFrameBytes = 65536 + 14 + 8 * 4 + 40;  // an IPv6 packet of 64 KB payload under 8 tags

// check_sent checks what a guest sent, and clears what has no meaning: flags other than "checksum to be completed", and
// fields that the flags and the type do not call for. Too small a header length (a hint) is put right. check_request is
// its part for headers that ask for something.
[[nodiscard]] HeaderFault check_request(vale::VnetHdr& hdr, uint64_t frame_bytes, const Offloads& agreed) noexcept;
[[nodiscard]] inline HeaderFault check_sent(vale::VnetHdr& hdr, uint64_t frame_bytes, const Offloads& agreed) noexcept {
  if (frame_bytes < kMinFrameBytes) return HeaderFault::kFrameTooShort;
  if (frame_bytes > kMaxFrameBytes) return HeaderFault::kFrameTooLong;
  const auto flags = static_cast<uint8_t>(hdr.flags & vale::kVnetNeedsCsum);
  if ((flags | hdr.gso_type) == 0) [[likely]] {
    hdr = {};
    return HeaderFault::kNone;
  }
  hdr.flags = flags;
  return check_request(hdr, frame_bytes, agreed);
}

// What has to happen to a packet before a guest may have it.
enum class Fit : uint8_t {
  kWhole,     // nothing
  kSoftware,  // segmentation and checksums (vale::Segmenter, takes_offloads false) first
  kBad,       // its header makes no sense: drop it
};
[[nodiscard]] Fit fit(const vale::VnetHdr& hdr, uint64_t frame_bytes, const Offloads& agreed) noexcept;

}  // namespace unetmap::virtio
