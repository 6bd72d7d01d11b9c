// SPDX-License-Identifier: BSD-2-Clause
#include "vale/offload.hh"

#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <string>

#include "vale/offload_test_frames.hh"

namespace unetmap::vale {
namespace {

using testing::build_frame;
using testing::build_header;
using testing::build_packet;
using testing::Bytes;
using testing::FrameSpec;
using testing::get16;
using testing::plain_sum;

// The only output packet.
Bytes convert_one(const Bytes& packet, unsigned in_hdr_len, const OutputForm& output) {
  Segmenter segmenter;
  EXPECT_EQ(segmenter.start(packet, in_hdr_len, output), Refusal::kNone);
  EXPECT_EQ(segmenter.packets(), 1u);
  Bytes out(segmenter.packet_bytes(0));
  EXPECT_EQ(segmenter.next(out), out.size());
  return out;
}

Bytes joined(Bytes first, const Bytes& second) {
  testing::append(first, second);
  return first;
}

TEST(Offload, header_lengths_table) {
  FrameSpec spec{.payload = 3000};
  const Bytes frame = build_frame(spec);
  const Bytes header = build_header(spec, 10);
  const Bytes no_buffers = {0, 0}, one_buffer = {1, 0};
  const Bytes zero(10, 0);

  EXPECT_EQ(convert_one(frame, 0, {.hdr_len = 0}), frame);
  EXPECT_EQ(convert_one(frame, 0, {.hdr_len = 10}), joined(zero, frame));
  EXPECT_EQ(convert_one(frame, 0, {.hdr_len = 12}), joined(joined(zero, one_buffer), frame));
  // A GSO frame between ports with headers goes along whole.
  EXPECT_EQ(convert_one(joined(header, frame), 10, {.hdr_len = 10}), joined(header, frame));
  EXPECT_EQ(convert_one(joined(header, frame), 10, {.hdr_len = 12}), joined(joined(header, one_buffer), frame));
  EXPECT_EQ(convert_one(joined(joined(header, no_buffers), frame), 12, {.hdr_len = 10}), joined(header, frame));
  EXPECT_EQ(convert_one(joined(joined(header, no_buffers), frame), 12, {.hdr_len = 12}),
            joined(joined(header, no_buffers), frame));
  // A header that asks for nothing is cut off.
  EXPECT_EQ(convert_one(joined(zero, frame), 10, {.hdr_len = 0}), frame);
  EXPECT_EQ(convert_one(joined(joined(zero, one_buffer), frame), 12, {.hdr_len = 0}), frame);
}

TEST(Offload, header_without_offloads_is_zero_before_every_segment) {
  FrameSpec spec{.payload = 3000};
  Segmenter segmenter;
  const Bytes packet = build_packet(spec, 12);
  ASSERT_EQ(segmenter.start(packet, 12, {.hdr_len = 12, .takes_offloads = false}), Refusal::kNone);
  ASSERT_EQ(segmenter.packets(), 3u);
  const Bytes header = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0};
  for (size_t i = 0; i < 3; ++i) {
    Bytes out(2048);
    const size_t bytes = segmenter.next(out);
    EXPECT_EQ(bytes, 12 + spec.headers() + (i < 2 ? 1448 : 104));
    EXPECT_EQ(Bytes(out.begin(), out.begin() + 12), header);
  }
}

TEST(Offload, partial_checksums_are_finished) {
  for (const bool ipv6 : {false, true}) {
    for (const bool udp : {false, true}) {
      for (const size_t payload : {0, 1, 2, 63, 1400, 1401}) {
        FrameSpec spec{.ipv6 = ipv6, .udp = udp, .tags = {0x8100}, .payload = payload, .gso_type = kGsoNone};
        FrameSpec whole = spec;
        whole.needs_csum = false;
        EXPECT_EQ(convert_one(build_packet(spec, 12), 12, {}), build_frame(whole)) << ipv6 << udp << payload;
      }
    }
  }
}

TEST(Offload, a_udp_checksum_that_comes_out_zero_is_written_as_ones) {
  FrameSpec spec{.udp = true, .payload = 2, .gso_type = kGsoNone};
  Bytes packet = build_packet(spec);
  // Choose the payload such that everything adds up to 0xffff.
  testing::set16(packet, 10 + spec.headers(), 0);
  const unsigned rest = plain_sum(std::span(packet).subspan(10 + spec.transport()));
  testing::set16(packet, 10 + spec.headers(), 0xffff - rest);
  EXPECT_EQ(get16(convert_one(packet, 10, {}), spec.checksum_at()), 0xffffu);
}

TEST(Offload, gso_of_one_segment_is_an_ordinary_frame) {
  FrameSpec spec{.payload = 1448, .gso_type = kGsoTcp4, .gso_size = 1448};
  FrameSpec whole = spec;
  whole.needs_csum = false;
  EXPECT_EQ(convert_one(build_packet(spec), 10, {}), build_frame(whole));
}

TEST(Offload, next_waits_for_a_buffer_that_is_large_enough) {
  FrameSpec spec{.payload = 2000};
  Segmenter segmenter;
  const Bytes packet = build_packet(spec);
  ASSERT_EQ(segmenter.start(packet, 10, {}), Refusal::kNone);
  const size_t bytes = segmenter.packet_bytes(0);
  Bytes small(bytes - 1, 0xee), exact(bytes);
  EXPECT_EQ(segmenter.next(small), 0u);
  EXPECT_EQ(small, Bytes(bytes - 1, 0xee));
  EXPECT_EQ(segmenter.next({}), 0u);
  EXPECT_EQ(segmenter.next(exact), bytes);
  EXPECT_EQ(get16(exact, spec.network() + 4), spec.identification);
  EXPECT_EQ(segmenter.packet_bytes(2), 0u);
}

TEST(Offload, frame_limit_leaves_room_for_tags_and_headers_that_go_along) {
  FrameSpec spec{.payload = 1514 - 54, .gso_type = kGsoNone};
  Segmenter segmenter;
  EXPECT_EQ(segmenter.start(build_packet(spec), 10, {.max_frame = 1514}), Refusal::kNone);
  EXPECT_EQ(segmenter.start(build_packet(spec), 10, {.max_frame = 1513}), Refusal::kFrameTooLong);
  EXPECT_EQ(segmenter.start(build_frame(spec), 0, {.max_frame = 1513}), Refusal::kFrameTooLong);
  EXPECT_EQ(segmenter.start(build_packet(spec), 10, {.hdr_len = 12, .max_frame = 1513}), Refusal::kNone);
  spec.tags = {0x88a8, 0x8100};
  EXPECT_EQ(segmenter.start(build_packet(spec), 10, {.max_frame = 1514}), Refusal::kNone);
  EXPECT_EQ(segmenter.start(build_packet(spec), 10, {.max_frame = 1513}), Refusal::kFrameTooLong);
}

TEST(Offload, unchanged_frames_are_known_from_the_header) {
  FrameSpec plain{.gso_type = kGsoNone, .needs_csum = false};
  FrameSpec csum{.gso_type = kGsoNone};
  FrameSpec gso{.needs_csum = false};
  EXPECT_TRUE(frame_unchanged({}, {.hdr_len = 12}));
  EXPECT_TRUE(frame_unchanged(build_header(plain), {}));
  EXPECT_TRUE(frame_unchanged(build_header(gso), {.hdr_len = 12}));
  EXPECT_FALSE(frame_unchanged(build_header(gso), {.hdr_len = 12, .takes_offloads = false}));
  EXPECT_FALSE(frame_unchanged(build_header(gso), {}));
  EXPECT_FALSE(frame_unchanged(build_header(csum), {}));
}

struct BadCase {
  const char* what;
  Refusal cause;
  FrameSpec spec;
  std::function<void(Bytes&)> spoil = [](Bytes&) {};  // the packet with its header of 10 bytes
  OutputForm output = {};
};

TEST(Offload, bad_input_is_refused_with_its_cause) {
  const FrameSpec tcp{};
  const FrameSpec tcp6{.ipv6 = true, .gso_type = kGsoTcp6};
  const FrameSpec ufo{.udp = true, .gso_type = kGsoUdpFragment};
  const FrameSpec uso{.udp = true, .gso_type = kGsoUdpSegment};
  const size_t ip = 10 + tcp.network(), transport = 10 + tcp.transport();
  const auto set = [](size_t at, uint8_t value) { return [=](Bytes& packet) { packet[at] = value; }; };
  const auto cut = [](size_t bytes) { return [=](Bytes& packet) { packet.resize(bytes); }; };
  const Bytes huge_options = [] {
    Bytes bytes(8 + 8 * 60, 0);
    bytes[0] = 60;
    bytes[1] = 60;
    return bytes;
  }();
  Bytes routing(24, 0);
  routing[0] = 43;
  routing[1] = 2;
  routing[2] = 9;  // no type we know
  routing[3] = 1;
  Bytes short_routing(8, 0);
  short_routing[0] = 43;
  short_routing[3] = 1;
  const std::vector<BadCase> cases = {
      {"no whole header", Refusal::kTruncatedVnetHdr, tcp, cut(9)},
      {"no frame", Refusal::kFrameTooShort, tcp, cut(10)},
      {"half an Ethernet header", Refusal::kFrameTooShort, tcp, cut(23)},
      {"frame ends in the IP header", Refusal::kTruncatedHeaders, tcp, cut(ip + 19)},
      {"frame ends in the TCP header", Refusal::kTruncatedHeaders, tcp, cut(transport + 19)},
      {"no gso_type of ours", Refusal::kUnknownGso, tcp, set(1, 2)},
      {"ECN on nothing", Refusal::kUnknownGso, tcp, set(1, 0x80)},
      {"ECN on UDP", Refusal::kUnknownGso, uso, set(1, 0x85)},
      {"tunnel bits", Refusal::kUnknownGso, tcp, set(1, 0x21)},
      {"IPv6 type, IPv4 frame", Refusal::kGsoMismatch, tcp, set(1, kGsoTcp6)},
      {"TCP type, UDP frame", Refusal::kGsoMismatch, uso, set(1, kGsoTcp4)},
      {"UDP type, TCP frame", Refusal::kGsoMismatch, tcp, set(1, kGsoUdpSegment)},
      {"not IP at all", Refusal::kGsoMismatch, tcp, set(10 + 12, 0x99)},
      {"ICMP", Refusal::kGsoMismatch, tcp, set(ip + 9, 1)},
      {"gso_size 0", Refusal::kSegmentTooSmall, tcp, [](Bytes& packet) { packet[4] = packet[5] = 0; }},
      {"gso_size 7", Refusal::kSegmentTooSmall, tcp, [](Bytes& packet) { packet[4] = 7, packet[5] = 0; }},
      {"IP version", Refusal::kBadIpHeader, tcp, set(ip, 0x55)},
      {"IP header length", Refusal::kBadIpHeader, tcp, set(ip, 0x44)},
      {"IPv6 version", Refusal::kBadIpHeader, tcp6, set(ip, 0x40)},
      {"a fragment (MF)", Refusal::kFragment, tcp, set(ip + 6, 0x20)},
      {"a fragment (offset)", Refusal::kFragment, tcp, set(ip + 7, 1)},
      {"an IPv6 fragment", Refusal::kFragment, tcp6, set(ip + 6, 44)},
      {"IPsec", Refusal::kUnsupportedHeader, tcp6, set(ip + 6, 51)},
      {"IPv6 in IPv6", Refusal::kUnsupportedHeader, tcp6, set(ip + 6, 41)},
      {"TCP header length", Refusal::kBadTransport, tcp, set(transport + 12, 0x40)},
      {"TCP header beyond the frame", Refusal::kTruncatedHeaders, FrameSpec{.payload = 20}, set(transport + 12, 0xf0)},
      {"UDP length", Refusal::kBadTransport, ufo, set(transport + 5, 1)},
      {"csum_start", Refusal::kChecksumRange, tcp, set(6, 35)},
      {"csum_offset", Refusal::kChecksumRange, tcp, set(8, 6)},
      {"csum_start in the addresses", Refusal::kChecksumRange, FrameSpec{.gso_type = 0}, set(6, 6)},
      {"csum_start beyond", Refusal::kChecksumRange, FrameSpec{.payload = 20, .gso_type = 0}, set(7, 1)},
      {"csum field at the end", Refusal::kChecksumRange, FrameSpec{.payload = 20, .gso_type = 0}, set(8, 39)},
      {"csum overflow", Refusal::kChecksumRange, FrameSpec{.payload = 20, .gso_type = 0},
       [](Bytes& packet) { packet[6] = packet[7] = packet[8] = packet[9] = 0xff; }},
      {"too many tags", Refusal::kHeadersTooLong, FrameSpec{.tags = std::vector<unsigned>(9, 0x8100)}},
      {"more headers than we copy", Refusal::kHeadersTooLong,
       FrameSpec{.ipv6 = true, .extensions = {huge_options}, .gso_type = kGsoTcp6}},
      {"extension header beyond the frame", Refusal::kTruncatedHeaders,
       FrameSpec{.ipv6 = true, .extensions = {{60, 200, 1, 4, 0, 0, 0, 0}}, .payload = 40, .gso_type = kGsoTcp6}},
      {"hop-by-hop not first", Refusal::kBadIpHeader,
       FrameSpec{
           .ipv6 = true, .extensions = {{60, 0, 1, 4, 0, 0, 0, 0}, {0, 0, 1, 4, 0, 0, 0, 0}}, .gso_type = kGsoTcp6}},
      {"unknown routing header", Refusal::kUnsupportedHeader,
       FrameSpec{.ipv6 = true, .extensions = {routing}, .gso_type = kGsoTcp6}},
      {"routing header without addresses", Refusal::kBadIpHeader,
       FrameSpec{.ipv6 = true, .extensions = {short_routing}, .gso_type = kGsoTcp6}},
      {"source route", Refusal::kUnsupportedHeader, FrameSpec{.ip_options = {1, 131, 7, 4, 10, 0, 0, 9}}},
      {"option of length 0", Refusal::kBadIpHeader, FrameSpec{.ip_options = {7, 0, 0, 0}}},
      {"datagrams longer than the destination", Refusal::kFrameTooLong, uso, [](Bytes&) {}, {.max_frame = 1000}},
      {"datagrams longer than IP", Refusal::kFrameTooLong, FrameSpec{.udp = true, .payload = 70000, .gso_type = 5},
       [](Bytes& packet) { packet[4] = packet[5] = 0xff; }},
      {"no room for headers", Refusal::kFrameTooLong, tcp, [](Bytes&) {}, {.max_frame = 54}},
      {"no room for payload", Refusal::kSegmentTooSmall, tcp, [](Bytes&) {}, {.max_frame = 61}},
      {"datagram that cannot be put together", Refusal::kFrameTooLong,
       FrameSpec{.udp = true, .payload = 65520, .gso_type = kGsoUdpFragment}},
      {"first fragment without its UDP header", Refusal::kSegmentTooSmall,
       FrameSpec{.ipv6 = true,
                 .udp = true,
                 .extensions = {{60, 0, 1, 4, 0, 0, 0, 0}},
                 .gso_type = kGsoUdpFragment,
                 .gso_size = 15}},
  };
  std::set<Refusal> seen = {Refusal::kNone};
  for (const BadCase& bad : cases) {
    SCOPED_TRACE(bad.what);
    Bytes packet = build_packet(bad.spec);
    bad.spoil(packet);
    Segmenter segmenter;
    const Refusal refusal = segmenter.start(packet, 10, bad.output);
    EXPECT_STREQ(refusal_name(refusal), refusal_name(bad.cause));
    EXPECT_EQ(segmenter.packets(), 0u);
    EXPECT_EQ(segmenter.packet_bytes(0), 0u);
    seen.insert(refusal);
  }
  Segmenter segmenter;
  for (const auto& [in, out] : {std::pair{11u, 0u}, {0u, 1u}, {13u, 12u}}) {
    EXPECT_EQ(segmenter.start(build_packet(tcp), in, {.hdr_len = out}), Refusal::kBadHeaderLength);
  }
  seen.insert(Refusal::kBadHeaderLength);
  EXPECT_EQ(seen.size(), kRefusals) << "a cause that no case reaches";
}

TEST(Offload, refusals_have_distinct_names) {
  std::set<std::string> names;
  for (size_t i = 0; i < kRefusals; ++i) names.insert(refusal_name(static_cast<Refusal>(i)));
  EXPECT_EQ(names.size(), kRefusals);
}

}  // namespace
}  // namespace unetmap::vale
