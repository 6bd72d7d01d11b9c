// SPDX-License-Identifier: BSD-2-Clause
// What comes out of segmentation is taken apart again here: lengths, numbers, flags and checksums of every frame, and
// the payload put together.
#include "vale/segment.hh"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>

#include "vale/offload.hh"
#include "vale/offload_test_frames.hh"

namespace unetmap::vale {
namespace {

using testing::build_frame;
using testing::build_packet;
using testing::Bytes;
using testing::FrameSpec;
using testing::get16;
using testing::get32;
using testing::plain_sum;

const Bytes kHopByHopAlert = {0, 0, 5, 2, 0, 0, 1, 0};  // router alert
const Bytes kDestination = {60, 0, 1, 4, 0, 0, 0, 0};   // padding
const Bytes kRoutingDone = {43, 2, 4, 0, 0, 0, 0, 0, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9};
const Bytes kTcpTimestamps = {1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2};
const Bytes kRouterAlert = {148, 4, 0, 0};

std::vector<Bytes> segment(const Bytes& packet, unsigned in_hdr_len, const OutputForm& output) {
  Segmenter segmenter;
  const Refusal refusal = segmenter.start(packet, in_hdr_len, output);
  EXPECT_EQ(refusal, Refusal::kNone) << refusal_name(refusal);
  std::vector<Bytes> frames;
  for (size_t i = 0; i < segmenter.packets(); ++i) {
    Bytes frame(segmenter.packet_bytes(i));
    EXPECT_EQ(segmenter.next(frame), frame.size());
    frames.push_back(frame);
  }
  Bytes spare(70000);
  EXPECT_EQ(segmenter.next(spare), 0u);
  return frames;
}

void expect_good_network_header(const Bytes& frame, const FrameSpec& spec, unsigned identification) {
  const size_t ip = spec.network();
  if (spec.ipv6) {
    EXPECT_EQ(get16(frame, ip + 4), frame.size() - ip - 40);
    return;
  }
  EXPECT_EQ(get16(frame, ip + 2), frame.size() - ip);
  EXPECT_EQ(get16(frame, ip + 4), identification & 0xffff);
  EXPECT_EQ(plain_sum(std::span(frame).subspan(ip, spec.transport() - ip)), 0xffffu);
}

void expect_good_transport_checksum(const Bytes& frame, const FrameSpec& spec) {
  const std::span<const uint8_t> transport = std::span(frame).subspan(spec.transport());
  EXPECT_EQ(plain_sum(transport, testing::pseudo_sum(frame, spec, transport.size())), 0xffffu);
}

// All that must hold of TCP segments and USO datagrams.
void expect_good_segments(const FrameSpec& spec, const std::vector<Bytes>& frames, size_t step) {
  const Bytes original = build_frame(spec);
  ASSERT_EQ(frames.size(), (spec.payload + step - 1) / step);
  Bytes payload;
  for (size_t i = 0; i < frames.size(); ++i) {
    SCOPED_TRACE("frame " + std::to_string(i));
    const Bytes& frame = frames[i];
    const bool last = i + 1 == frames.size();
    ASSERT_GE(frame.size(), spec.headers());
    EXPECT_EQ(frame.size() - spec.headers(), last ? spec.payload - i * step : step);
    EXPECT_TRUE(std::equal(original.begin(), original.begin() + static_cast<long>(spec.network()), frame.begin()));
    expect_good_network_header(frame, spec, spec.identification + static_cast<unsigned>(i));
    expect_good_transport_checksum(frame, spec);
    const size_t transport = spec.transport();
    if (spec.udp) {
      EXPECT_EQ(get16(frame, transport + 4), frame.size() - transport);
    } else {
      EXPECT_EQ(get32(frame, transport + 4), static_cast<uint32_t>(get32(original, transport + 4) + i * step));
      unsigned flags = spec.tcp_flags;
      if (!last) flags &= ~0x09u;
      if (i > 0) flags &= ~0x80u;
      EXPECT_EQ(frame[transport + 13], flags);
    }
    testing::append(payload, std::span(frame).subspan(spec.headers()));
  }
  EXPECT_EQ(payload, Bytes(original.begin() + static_cast<long>(spec.headers()), original.end()));
}

TEST(Segment, tcp_and_uso_over_everything) {
  const std::vector<std::vector<unsigned>> tag_sets = {{}, {0x8100}, {0x88a8, 0x8100}, {0x8100, 0x8100, 0x88a8}};
  for (const bool ipv6 : {false, true}) {
    for (const bool udp : {false, true}) {
      for (const auto& tags : tag_sets) {
        for (const bool options : {false, true}) {
          for (const bool needs_csum : {false, true}) {
            for (const size_t payload : {1449, 2896, 2897, 20000, 65000}) {
              for (const unsigned gso_size : {100u, 1447u, 1448u}) {
                FrameSpec spec{.ipv6 = ipv6, .udp = udp, .tags = tags, .payload = payload, .gso_size = gso_size};
                spec.needs_csum = needs_csum;
                spec.tcp_flags = 0xd9;
                spec.gso_type = udp ? kGsoUdpSegment : ipv6 ? kGsoTcp6 : kGsoTcp4;
                if (!udp && options) spec.gso_type |= kGsoEcn;
                if (options && ipv6) spec.extensions = {kHopByHopAlert, kDestination, kRoutingDone, kDestination};
                if (options && !ipv6) spec.ip_options = kRouterAlert;
                if (options && !udp) spec.tcp_options = kTcpTimestamps;
                SCOPED_TRACE(::testing::Message()
                             << "ipv6 " << ipv6 << " udp " << udp << " tags " << tags.size() << " options " << options
                             << " payload " << payload << " gso " << gso_size);
                expect_good_segments(spec, segment(build_packet(spec), 10, {}), gso_size);
                if (HasFailure()) return;
              }
            }
          }
        }
      }
    }
  }
}

// UFO: put the fragments together again and compare with the datagram, its checksum complete.
void expect_good_fragments(const FrameSpec& spec, const std::vector<Bytes>& frames, size_t unfragmentable,
                           size_t step) {
  const Bytes original = build_frame(spec);
  const size_t header = unfragmentable + (spec.ipv6 ? 8 : 0);
  ASSERT_EQ(frames.size(), (original.size() - unfragmentable + step - 1) / step);
  Bytes datagram(original.begin(), original.begin() + static_cast<long>(unfragmentable));
  for (size_t i = 0; i < frames.size(); ++i) {
    SCOPED_TRACE("fragment " + std::to_string(i));
    const Bytes& frame = frames[i];
    const bool last = i + 1 == frames.size();
    ASSERT_GT(frame.size(), header);
    EXPECT_EQ(frame.size() - header, last ? original.size() - unfragmentable - i * step : step);
    expect_good_network_header(frame, spec, spec.identification);
    if (spec.ipv6) {
      EXPECT_EQ(get16(frame, unfragmentable + 2), i * step | (last ? 0u : 1u));
      EXPECT_EQ(get32(frame, unfragmentable + 4), get32(frames[0], unfragmentable + 4));
      EXPECT_EQ(frame[unfragmentable + 1], 0);
    } else {
      EXPECT_EQ(get16(frame, spec.network() + 6), i * step / 8 | (last ? 0u : 0x2000u));
    }
    testing::append(datagram, std::span(frame).subspan(header));
  }
  ASSERT_EQ(datagram.size(), original.size());
  expect_good_transport_checksum(datagram, spec);
  testing::set16(datagram, spec.checksum_at(), get16(original, spec.checksum_at()));
  EXPECT_EQ(datagram, original);
}

TEST(Segment, ufo_makes_fragments) {
  for (const bool needs_csum : {false, true}) {
    for (const size_t payload : {1473, 2953, 8000, 60000}) {
      for (const unsigned gso_size : {1480u, 1479u, 800u}) {
        SCOPED_TRACE(::testing::Message() << "csum " << needs_csum << " payload " << payload << " gso " << gso_size);
        FrameSpec spec{.udp = true, .tags = {0x8100}, .payload = payload, .gso_type = kGsoUdpFragment};
        spec.gso_size = gso_size;
        spec.needs_csum = needs_csum;
        const size_t step = gso_size / 8 * 8;
        expect_good_fragments(spec, segment(build_packet(spec), 10, {}), spec.network() + 20, step);
        spec.ip_options = kRouterAlert;
        expect_good_fragments(spec, segment(build_packet(spec), 10, {}), spec.network() + 24, step);
        spec.ip_options = {};
        spec.ipv6 = true;
        expect_good_fragments(spec, segment(build_packet(spec), 10, {}), spec.network() + 40, step);
        spec.extensions = {kHopByHopAlert};
        auto frames = segment(build_packet(spec), 10, {});
        expect_good_fragments(spec, frames, spec.network() + 48, step);
        EXPECT_EQ(frames[1][spec.network() + 40], 44);  // hop-by-hop, then the fragment header, then UDP
        EXPECT_EQ(frames[1][spec.network() + 48], 17);
        spec.extensions = {kHopByHopAlert, kRoutingDone, kDestination};  // the last is part of what is cut
        frames = segment(build_packet(spec), 10, {});
        expect_good_fragments(spec, frames, spec.network() + 40 + 8 + 24, step);
        EXPECT_EQ(frames[0][spec.network() + 40 + 8 + 24], 60);
        if (HasFailure()) return;
      }
    }
  }
}

TEST(Segment, ipv6_fragments_of_other_seeds_or_contents_differ_in_identification) {
  FrameSpec spec{.ipv6 = true, .udp = true, .gso_type = kGsoUdpFragment, .gso_size = 1448};
  const size_t at = spec.network() + 40 + 4;
  const uint32_t one = get32(segment(build_packet(spec), 10, {.fragment_seed = 1})[0], at);
  const uint32_t two = get32(segment(build_packet(spec), 10, {.fragment_seed = 2})[0], at);
  spec.seed = 99;
  const uint32_t three = get32(segment(build_packet(spec), 10, {.fragment_seed = 1})[0], at);
  EXPECT_NE(one, two);
  EXPECT_NE(one, three);
}

TEST(Segment, udp_without_checksum_stays_without) {
  FrameSpec spec{.udp = true, .gso_type = kGsoUdpSegment, .needs_csum = false};
  Bytes packet = build_packet(spec);
  testing::set16(packet, 10 + spec.checksum_at(), 0);
  for (const Bytes& frame : segment(packet, 10, {})) EXPECT_EQ(get16(frame, spec.checksum_at()), 0u);
  packet[1] = kGsoUdpFragment;
  EXPECT_EQ(get16(segment(packet, 10, {})[0], spec.checksum_at()), 0u);
}

TEST(Segment, routing_header_with_hops_left_names_the_address_under_the_checksum) {
  Bytes routing = kRoutingDone;
  routing[3] = 1;
  for (const uint8_t type : {0, 2, 4}) {
    routing[2] = type;
    FrameSpec spec{.ipv6 = true, .extensions = {routing}, .gso_type = kGsoTcp6};
    const auto frames = segment(build_packet(spec), 10, {});
    ASSERT_EQ(frames.size(), 3u);
    for (Bytes frame : frames) {
      const size_t listed = spec.network() + 40 + 8;
      std::copy_n(frame.begin() + static_cast<long>(listed), 16,
                  frame.begin() + static_cast<long>(spec.network() + 24));
      expect_good_transport_checksum(frame, spec);
    }
  }
}

TEST(Segment, a_narrower_destination_gets_smaller_tcp_segments) {
  FrameSpec spec{.tags = {0x8100}, .tcp_options = kTcpTimestamps, .payload = 9000, .gso_size = 8948};
  const auto frames = segment(build_packet(spec), 10, {.max_frame = 1514});
  expect_good_segments(spec, frames, 1448);
  for (const Bytes& frame : frames) EXPECT_LE(frame.size(), 1518u);
}

TEST(Segment, a_narrower_destination_gets_smaller_fragments) {
  FrameSpec spec{.ipv6 = true, .udp = true, .payload = 30000, .gso_type = kGsoUdpFragment, .gso_size = 8952};
  expect_good_fragments(spec, segment(build_packet(spec), 10, {.max_frame = 1514}), spec.network() + 40, 1448);
}

TEST(Segment, one_segment_that_is_too_long_for_ip_is_cut_at_the_length_field) {
  for (const bool ipv6 : {false, true}) {
    FrameSpec spec{.ipv6 = ipv6, .payload = 100000, .gso_type = ipv6 ? kGsoTcp6 : kGsoTcp4, .gso_size = 65535};
    expect_good_segments(spec, segment(build_packet(spec), 10, {}), 65535u - (ipv6 ? 20 : 40));
  }
}

TEST(Segment, every_truncation_is_safe) {
  std::vector<FrameSpec> specs;
  specs.push_back(
      {.tags = {0x88a8, 0x8100}, .ip_options = kRouterAlert, .tcp_options = kTcpTimestamps, .payload = 300});
  specs.push_back({.ipv6 = true, .extensions = {kHopByHopAlert, kRoutingDone}, .payload = 300, .gso_type = kGsoTcp6});
  specs.push_back({.ipv6 = true, .udp = true, .payload = 300, .gso_type = kGsoUdpSegment});
  specs.push_back({.ipv6 = true, .udp = true, .payload = 300, .gso_type = kGsoUdpFragment});
  for (FrameSpec& spec : specs) {
    spec.gso_size = 64;
    const Bytes packet = build_packet(spec, 12);
    for (size_t length = 0; length <= packet.size(); ++length) {
      // An exact allocation, so that a sanitizer sees every byte read beyond it.
      const auto cut = std::make_unique<uint8_t[]>(length);
      std::copy_n(packet.begin(), length, cut.get());
      Segmenter segmenter;
      const Refusal refusal = segmenter.start({cut.get(), length}, 12, {});
      if (length < 12 + spec.headers()) {
        ASSERT_NE(refusal, Refusal::kNone) << length;
        ASSERT_EQ(segmenter.packets(), 0u);
        continue;
      }
      size_t packets = 0;
      for (size_t i = 0; i < segmenter.packets(); ++i) {
        const size_t bytes = segmenter.packet_bytes(i);
        const auto out = std::make_unique<uint8_t[]>(bytes);
        ASSERT_EQ(segmenter.next({out.get(), bytes}), bytes);
        ++packets;
      }
      ASSERT_EQ(packets > 0, refusal == Refusal::kNone);
    }
  }
}

}  // namespace
}  // namespace unetmap::vale
