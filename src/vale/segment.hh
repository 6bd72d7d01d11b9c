// SPDX-License-Identifier: BSD-2-Clause
// Cuts one oversized TCP or UDP frame (a GSO frame, as guests with a virtio-net header send them) into frames for
// a wire: what a NIC's segmentation engine does, in software.
//
// A plan is made first: it copies the protocol headers (the frame may lie in memory that its sender can still write),
// checks every length in the copy and fixes the number and the sizes of the output frames. Writing a frame then
// copies the headers, puts the fields right that differ, and copies its share of the payload.
//
//   TCP  sequence number, FIN and PSH on the last frame only, CWR on the first only, IPv4 identification + 1 each
//   USO  UDP length, IPv4 identification + 1 each
//   UFO  IP fragments of one datagram: offset and MF; IPv6 gains a fragment header
// all of them: IPv4 total length and header checksum, IPv6 payload length, and whole transport checksums.
// Limits: VLAN tags up to 8, headers up to 512 bytes, no tunnels, no IPsec, no packets that are fragments already.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "vale/vnet_hdr.hh"

namespace unetmap::vale {

// Why a frame cannot go out. Each is a drop cause a port may count; refusal_name gives the counter's name.
enum class Refusal : uint8_t {
  kNone,
  kBadHeaderLength,    // a header length other than 0, 10, 12 (the caller's mistake)
  kTruncatedVnetHdr,   // fewer bytes than the header of the port
  kFrameTooShort,      // less than an Ethernet header
  kFrameTooLong,       // does not fit the destination, and may not be cut
  kChecksumRange,      // csum_start or csum_offset outside of the frame, or not where the protocol has it
  kUnknownGso,         // a gso_type that is none of ours
  kGsoMismatch,        // gso_type and the frame's protocols disagree
  kSegmentTooSmall,    // gso_size, or the room the destination leaves, is too small to be sane
  kTruncatedHeaders,   // Ethernet, IP or transport headers end after the frame
  kHeadersTooLong,     // more headers than we are ready to copy to each frame
  kBadIpHeader,        // wrong version or header length
  kBadTransport,       // TCP header length or UDP length impossible
  kFragment,           // is an IP fragment already
  kUnsupportedHeader,  // an extension header we cannot put on each segment
};
inline constexpr size_t kRefusals = static_cast<size_t>(Refusal::kUnsupportedHeader) + 1;
[[nodiscard]] const char* refusal_name(Refusal refusal) noexcept;

inline constexpr size_t kEthernetHeaderBytes = 14;
inline constexpr size_t kVlanTagBytes = 4;
inline constexpr size_t kMaxVlanTags = 8;
inline constexpr size_t kMaxHeaderBytes = 512;
inline constexpr size_t kFragmentHeaderBytes = 8;
// Below this a 64 KB frame would burst into thousands of frames that are all header: an attack, not a size.
inline constexpr size_t kMinSegmentBytes = 8;

// Where the headers of a frame lie; offsets in bytes from the start of the frame.
struct HeaderLayout {
  size_t vlan_tags = 0;
  bool ipv6 = false;
  size_t network = 0;            // IP header
  size_t transport = 0;          // TCP or UDP header
  uint8_t protocol = 0;          // IPPROTO_TCP or IPPROTO_UDP
  size_t fragmentable = 0;       // IPv6: where a fragment header goes
  size_t fragmentable_next = 0;  // IPv6: the next-header byte that then names it
  size_t final_destination = 0;  // where the address stands that the transport checksum covers
};

// The number of VLAN tags (0x8100, 0x88a8, stacked) behind the addresses; at most kMaxVlanTags.
[[nodiscard]] size_t count_vlan_tags(std::span<const uint8_t> frame) noexcept;

// Finds the headers up to the start of TCP or UDP. `bytes` is the start of a frame.
[[nodiscard]] Refusal parse_headers(std::span<const uint8_t> bytes, HeaderLayout& layout) noexcept;

class SegmentPlan {
 public:
  // Plans the frames for `frame` (Ethernet, no virtio-net header) as `hdr` (gso_type not kGsoNone) asks. `max_frame`
  // bounds an output frame, VLAN tags not counted. A smaller max_frame than the sender thought of makes more TCP
  // segments or IP fragments; datagrams (USO) keep their boundaries and are refused. `fragment_seed` varies the
  // identification of IPv6 fragments. The frame's bytes must stay mapped until the last frame is written.
  [[nodiscard]] Refusal make(std::span<const uint8_t> frame, const VnetHdr& hdr, size_t max_frame,
                             uint32_t fragment_seed) noexcept;

  // Number of output frames; 1 means that there is nothing to cut: finish the checksum and send the frame itself.
  [[nodiscard]] size_t frames() const noexcept { return frames_; }
  [[nodiscard]] size_t frame_bytes(size_t index) const noexcept { return header_bytes_ + payload_bytes(index); }
  // Writes frame `index` < frames() to `out`, which has room for frame_bytes(index).
  void write(size_t index, uint8_t* out) const noexcept;

 private:
  enum class Kind : uint8_t { kTcp, kDatagrams, kFragments };

  Refusal choose_kind(const VnetHdr& hdr) noexcept;
  Refusal check_transport(std::span<const uint8_t> bytes, const VnetHdr& hdr) noexcept;
  Refusal choose_step(size_t gso_size, size_t max_frame) noexcept;
  void prepare_fragments(bool needs_csum, uint32_t fragment_seed) noexcept;
  size_t payload_bytes(size_t index) const noexcept;
  void write_network(size_t index, uint8_t* frame, size_t payload) const noexcept;
  void write_transport(size_t index, uint8_t* frame, size_t payload) const noexcept;
  void write_fragment(size_t index, uint8_t* frame, size_t payload) const noexcept;

  std::span<const uint8_t> frame_;
  HeaderLayout layout_;
  Kind kind_ = Kind::kTcp;
  bool transport_checksum_ = true;  // TCP, USO: to be computed; UFO: udp_checksum_ replaces the field
  uint16_t udp_checksum_ = 0;       // UFO: of the whole datagram
  size_t header_bytes_ = 0;         // of headers_, and before the payload in each output frame
  size_t payload_at_ = 0;           // in frame_
  size_t step_ = 0;                 // payload bytes in each output frame but the last
  size_t frames_ = 0;
  uint64_t pseudo_sum_ = 0;                                              // addresses and protocol
  std::array<uint8_t, kMaxHeaderBytes + kFragmentHeaderBytes> headers_;  // what each output frame starts from
};

}  // namespace unetmap::vale
