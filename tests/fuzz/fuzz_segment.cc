// SPDX-License-Identifier: BSD-2-Clause
// Any bytes as a packet, any header lengths and frame limits. Beyond memory errors it checks what callers rely on: the
// promised number and sizes of packets, the frame limit, and length fields that agree with the frames.
//
// Input: byte 0 chooses the forms (below), bytes 1-2 the frame limit (0: none), byte 3 how many times 512 bytes of
// payload to append, the rest is the packet.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "require.hh"
#include "vale/offload.hh"
#include "vale/wire_bytes.hh"

namespace {

using namespace unetmap::vale;
using unetmap::fuzz::require;

constexpr size_t kChoiceBytes = 4;
constexpr unsigned kHeaderLengths[4] = {0, 10, 12, 7};  // the last is a mistake

void check_segment(const uint8_t* frame, size_t bytes, uint8_t gso_type) {
  HeaderLayout layout;
  const Refusal refusal = parse_headers({frame, bytes}, layout);
  if (gso_type == kGsoUdpFragment) {
    require(refusal == Refusal::kFragment, "a piece of a datagram is a fragment");
  } else {
    require(refusal == Refusal::kNone, "a segment has headers that parse");
  }
  const uint8_t* const ip = frame + layout.network;
  const size_t said = layout.ipv6 ? load_be16(ip + 4) + 40u : load_be16(ip + 2);
  require(said == bytes - layout.network, "the IP length field agrees with the frame");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < kChoiceBytes) return 0;
  const uint8_t choice = data[0];
  const unsigned in_hdr_len = kHeaderLengths[choice & 3];
  OutputForm output{.hdr_len = kHeaderLengths[choice >> 2 & 3], .takes_offloads = (choice & 0x10) == 0};
  const bool scribble = (choice & 0x20) != 0;  // the sender changes the packet while we work on it
  if (const size_t limit = load_be16(data + 1); limit != 0) output.max_frame = limit;

  const size_t given = size - kChoiceBytes;
  const size_t bytes = given + size_t{data[3]} * 512;
  const auto packet = std::make_unique<uint8_t[]>(bytes);  // exact, so that the sanitizer sees its end
  std::memcpy(packet.get(), data + kChoiceBytes, given);

  const uint8_t gso_type = in_hdr_len >= 10 && bytes >= in_hdr_len ? packet[1] : 0;
  const bool along = in_hdr_len > 0 && output.hdr_len > 0 && output.takes_offloads;
  const size_t tags = bytes > in_hdr_len ? count_vlan_tags({packet.get() + in_hdr_len, bytes - in_hdr_len}) : 0;

  Segmenter segmenter;
  const Refusal refusal = segmenter.start({packet.get(), bytes}, in_hdr_len, output);
  require(static_cast<size_t>(refusal) < kRefusals, "a cause that exists");
  require((refusal == Refusal::kNone) == (segmenter.packets() > 0), "packets unless refused");
  const size_t packets = segmenter.packets();
  require(packets <= bytes / kMinSegmentBytes + 1, "no burst of tiny frames");
  if (scribble) std::memset(packet.get(), 0xff, bytes);

  for (size_t i = 0; i < packets; ++i) {
    const size_t expected = segmenter.packet_bytes(i);
    require(expected > output.hdr_len, "a packet has a frame");
    if (!along && output.max_frame != kNoFrameLimit) {
      require(expected - output.hdr_len <= output.max_frame + 4 * tags, "the frame limit holds");
    }
    require(i == 0 || expected <= segmenter.packet_bytes(0), "no packet is longer than the first");
    const auto out = std::make_unique<uint8_t[]>(expected);
    require(segmenter.next({out.get(), expected - 1}) == 0, "a short buffer is not written");
    require(segmenter.next({out.get(), expected}) == expected, "the promised size");
    if (packets > 1) check_segment(out.get() + output.hdr_len, expected - output.hdr_len, gso_type);
  }
  uint8_t spare[64];
  require(segmenter.packet_bytes(packets) == 0 && segmenter.next(spare) == 0, "nothing after the last");
  return 0;
}
