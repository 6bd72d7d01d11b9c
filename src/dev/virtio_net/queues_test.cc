// SPDX-License-Identifier: BSD-2-Clause
// Transmit and receive queues over both layouts: headers of both lengths, anywhere in the pieces; one buffer or many;
// what is refused; packets of random shape, compared byte by byte.
#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <numeric>
#include <random>

#include "dev/virtio_net/rx_queue.hh"
#include "dev/virtio_net/test_driver.hh"
#include "dev/virtio_net/tx_queue.hh"

namespace unetmap::virtio {
namespace {

constexpr uint64_t kRing = TestGuest::kBase, kRxRing = TestGuest::kBase + 0x40000;
constexpr uint64_t kQueueData = TestGuest::kBase + TestGuest::kRegion - 0x40000;  // up to 256 KB before the border
constexpr uint64_t kAllOffloads = kCsum | kGuestCsum | kHostTso4 | kHostTso6 | kHostEcn | kHostUso | kGuestTso4 |
                                  kGuestTso6 | kGuestEcn | kGuestUso4 | kGuestUso6;

std::vector<uint8_t> bytes_of(uint32_t seed, size_t count) {
  std::vector<uint8_t> out(count);
  std::minstd_rand random(seed + 1);
  for (uint8_t& byte : out) byte = uint8_t(random() >> 7);
  return out;
}

std::vector<uint8_t> with_header(const vale::VnetHdr& hdr, size_t header, const std::vector<uint8_t>& frame) {
  std::vector<uint8_t> out(header);
  memcpy(out.data(), &hdr, sizeof hdr);
  out.insert(out.end(), frame.begin(), frame.end());
  return out;
}

std::vector<uint8_t> gathered(std::span<const Piece> pieces) {
  std::vector<uint8_t> out;
  for (const Piece& piece : pieces) out.insert(out.end(), piece.at, piece.at + piece.bytes);
  return out;
}

class QueuesTest : public testing::TestWithParam<uint64_t> {
 protected:
  static constexpr uint32_t kSize = 64;

  void start(uint64_t features = 0) {
    features |= GetParam();
    header = header_bytes(features);
    tx_driver = make_driver(guest, kRing, kSize, features);
    rx_driver = make_driver(guest, kRxRing, kSize, features);
    ASSERT_LE(rx_driver->end(), kQueueData);
    ASSERT_EQ(tx.start(guest.memory, tx_driver->setup()), RingFault::kNone);
    ASSERT_EQ(rx.start(guest.memory, rx_driver->setup()), RingFault::kNone);
  }
  // A packet in pieces of these sizes (the last one takes the rest), from `at` on.
  bool send(const std::vector<uint8_t>& packet, uint64_t token, uint64_t at, std::vector<uint32_t> cuts = {},
            bool indirect = false) {
    std::vector<Buffer> buffers;
    size_t done = 0;
    uint64_t where = at;
    for (size_t i = 0; done < packet.size(); i++) {
      const auto bytes =
          uint32_t(i < cuts.size() ? std::min<size_t>(cuts[i], packet.size() - done) : packet.size() - done);
      guest.write(where, {&packet[done], bytes});
      buffers.push_back({where, bytes, false});
      done += bytes;
      where += bytes + 3;
    }
    return tx_driver->offer(buffers, token, indirect);
  }
  size_t fetch(size_t most = kMaxFetch) { return tx.fetch(*batch, std::span(packets).first(most)); }
  Delivery deliver(const std::vector<uint8_t>& frame, const vale::VnetHdr& hdr = {}, size_t cut = 0) {
    const RxQueue::Source whole(frame);
    const RxQueue::Source sources[] = {whole.first(cut), whole.subspan(cut)};
    return rx.deliver(*batch, hdr, sources);
  }
  bool legacy() const { return !(GetParam() & kVersion1); }

  TestGuest guest;
  std::unique_ptr<TestDriver> tx_driver, rx_driver;
  size_t header = 0;
  TxQueue tx;
  RxQueue rx;
  std::unique_ptr<ChainBatch> batch = std::make_unique<ChainBatch>();
  std::array<TxPacket, kMaxFetch> packets;
};
INSTANTIATE_TEST_SUITE_P(Layouts, QueuesTest,
                         testing::Values(0, kVersion1, kVersion1 | kEventIdx | kIndirectDesc | kInOrder,
                                         kVersion1 | kRingPacked,
                                         kVersion1 | kRingPacked | kEventIdx | kIndirectDesc | kInOrder),
                         [](const auto& info) {
                           return std::string(info.param & kRingPacked ? "Packed"
                                              : info.param             ? "Split"
                                                                       : "Legacy") +
                                  (info.param & kInOrder ? "InOrder" : "");
                         });

TEST_P(QueuesTest, HeaderLengths) {
  EXPECT_EQ(header_bytes(GetParam()), legacy() ? 10u : 12u);
  EXPECT_EQ(header_bytes(GetParam() | kMrgRxbuf), 12u);
}

TEST_P(QueuesTest, SentFramesComeWithoutTheirHeaders) {
  start();
  const auto frame = bytes_of(1, 100);
  const auto packet = with_header({}, header, frame);
  // The header alone, in two, with the frame, with a part of it.
  const std::vector<std::vector<uint32_t>> shapes{
      {uint32_t(header)}, {5, uint32_t(header) - 5}, {}, {40}, {1, 1, 1, 50}};
  for (size_t i = 0; i < shapes.size(); i++) ASSERT_TRUE(send(packet, i, kQueueData + 1000 * i, shapes[i]));
  ASSERT_EQ(fetch(), shapes.size());
  for (size_t i = 0; i < shapes.size(); i++) {
    EXPECT_EQ(packets[i].bytes, frame.size());
    EXPECT_EQ(gathered(packets[i].frame), frame) << i;
    EXPECT_EQ(packets[i].hdr.gso_type, 0);
  }
  EXPECT_TRUE(tx.complete(shapes.size()));
  EXPECT_EQ(tx.counters().packets, shapes.size());
  EXPECT_EQ(tx.counters().bytes, shapes.size() * frame.size());
  for (size_t i = 0; i < shapes.size(); i++) EXPECT_EQ(tx_driver->reap()->token, i);
  EXPECT_EQ(fetch(), 0u);
}

TEST_P(QueuesTest, WhatIsNotAcceptedComesAgain) {
  start();
  for (uint32_t i = 0; i < 5; i++) ASSERT_TRUE(send(with_header({}, header, bytes_of(i, 60)), i, kQueueData + 100 * i));
  ASSERT_EQ(fetch(), 5u);
  (void)tx.complete(2);
  ASSERT_EQ(fetch(), 3u);
  EXPECT_EQ(gathered(packets[0].frame), bytes_of(2, 60));
  (void)tx.complete(0);
  ASSERT_EQ(fetch(2), 2u);
  (void)tx.complete(2);
  ASSERT_EQ(fetch(), 1u);
  EXPECT_EQ(gathered(packets[0].frame), bytes_of(4, 60));
  (void)tx.complete(1);
  for (uint32_t i = 0; i < 5; i++) EXPECT_EQ(tx_driver->reap()->token, i);
}

TEST_P(QueuesTest, BadHeadersAreDroppedCountedAndGivenBack) {
  start(kCsum | kHostTso4);
  struct Case {
    vale::VnetHdr hdr;
    size_t frame;
    HeaderFault fault;
  };
  const vale::VnetHdr good{1, 1, 54, 1000, 34, 16};
  auto but = [&](auto change) {
    vale::VnetHdr hdr = good;
    change(hdr);
    return hdr;
  };
  const std::vector<Case> cases{
      {{}, 13, HeaderFault::kFrameTooShort},
      {{}, kMaxFrameBytes + 1, HeaderFault::kFrameTooLong},
      {but([](auto& h) { h.gso_type = vale::kGsoTcp6; }), 2000, HeaderFault::kGsoType},
      {but([](auto& h) { h.gso_type = vale::kGsoTcp4 | vale::kGsoEcn; }), 2000, HeaderFault::kGsoType},
      {but([](auto& h) { h.gso_type = vale::kGsoUdpFragment; }), 2000, HeaderFault::kGsoType},
      {but([](auto& h) { h.gso_type = vale::kGsoUdpSegment; }), 2000, HeaderFault::kGsoType},
      {but([](auto& h) { h.gso_type = 77; }), 2000, HeaderFault::kGsoType},
      {but([](auto& h) { h.gso_type = vale::kGsoEcn; }), 2000, HeaderFault::kGsoType},
      {but([](auto& h) { h.gso_size = 0; }), 2000, HeaderFault::kGsoSize},
      {but([](auto& h) { h.flags = 0; }), 2000, HeaderFault::kGsoChecksum},
      {but([](auto& h) { h.hdr_len = 2001; }), 2000, HeaderFault::kHeaderLength},
      {but([](auto& h) { h.csum_start = 1983; }), 2000, HeaderFault::kChecksumRange},
      {but([](auto& h) { h.csum_start = 0xffff; }), 2000, HeaderFault::kChecksumRange},
      {but([](auto& h) { h.csum_offset = 0xffff; }), 2000, HeaderFault::kChecksumRange},
      {but([](auto& h) { h.csum_start = 13; }), 2000, HeaderFault::kChecksumRange},
  };
  for (const Case& each : cases) {
    ASSERT_TRUE(send(with_header(good, header, bytes_of(7, 2000)), 1, kQueueData));
    ASSERT_TRUE(send(with_header(each.hdr, header, bytes_of(8, each.frame)), 2, kQueueData + 4096));
    ASSERT_TRUE(send(with_header(good, header, bytes_of(9, 2000)), 3, kQueueData + 0x30000));
    ASSERT_EQ(fetch(), 1u);
    EXPECT_EQ(gathered(packets[0].frame), bytes_of(7, 2000));
    const uint64_t before = tx.counters().dropped[size_t(each.fault)];
    (void)tx.complete(1);
    ASSERT_EQ(fetch(), 1u) << counter_name(each.fault);
    EXPECT_EQ(gathered(packets[0].frame), bytes_of(9, 2000));
    (void)tx.complete(1);
    EXPECT_EQ(tx.counters().dropped[size_t(each.fault)], before + 1) << counter_name(each.fault);
    for (uint64_t token = 1; token <= 3; token++) EXPECT_EQ(tx_driver->reap()->token, token);
  }
  // No header at all, and nothing else to be seen.
  ASSERT_TRUE(send(bytes_of(1, header - 1), 4, kQueueData));
  EXPECT_EQ(fetch(), 0u);
  (void)tx.complete(0);
  EXPECT_EQ(tx.counters().dropped[size_t(HeaderFault::kNoHeader)], 1u);
  EXPECT_EQ(tx_driver->reap()->token, 4u);
  EXPECT_EQ(tx.ring().fault(), RingFault::kNone);
}

TEST_P(QueuesTest, HeadersOfThoseWhoAgreedToNothingSayNothing) {
  start();
  ASSERT_TRUE(send(with_header({1, 0, 0, 0, 34, 16}, header, bytes_of(1, 100)), 1, kQueueData));
  ASSERT_EQ(fetch(), 1u);
  EXPECT_EQ(packets[0].hdr.flags, 0);
  EXPECT_EQ(packets[0].hdr.csum_start, 0);
  (void)tx.complete(1);
  // A sender cannot claim to have verified, nor leave rubbish in fields that mean nothing.
  ASSERT_TRUE(send(with_header({2, 0, 9, 9, 9, 9}, header, bytes_of(1, 100)), 2, kQueueData));
  ASSERT_EQ(fetch(), 1u);
  const vale::VnetHdr none{};
  EXPECT_EQ(memcmp(&packets[0].hdr, &none, sizeof none), 0);
  (void)tx.complete(1);
}

TEST_P(QueuesTest, OneBufferAPacket) {
  start();
  ASSERT_TRUE(rx_driver->offer(std::vector<Buffer>{{kQueueData, 200, true}}, 1, false));
  ASSERT_TRUE(
      rx_driver->offer(std::vector<Buffer>{{kQueueData + 1000, 12, true}, {kQueueData + 2000, 188, true}}, 2, false));
  const auto first = bytes_of(1, 60), second = bytes_of(2, 100);
  EXPECT_EQ(deliver(first), Delivery::kDone);
  EXPECT_EQ(deliver(bytes_of(3, 300)), Delivery::kDropped);
  EXPECT_EQ(rx.counters().too_long, 1u);
  EXPECT_EQ(deliver(second, {}, 33), Delivery::kDone);
  EXPECT_EQ(deliver(first), Delivery::kNoBuffers);
  EXPECT_TRUE(rx.finish());
  EXPECT_EQ(rx_driver->reap(), (Used{1, uint32_t(header) + 60}));
  EXPECT_EQ(rx_driver->reap(), (Used{2, uint32_t(header) + 100}));
  EXPECT_EQ(guest.read(kQueueData + header, 60), first);
  const uint8_t zero[10] = {};
  EXPECT_EQ(memcmp(guest.read(kQueueData, 10).data(), zero, 10), 0);
  if (!legacy()) {
    EXPECT_EQ(guest.read(kQueueData + 10, 2), (std::vector<uint8_t>{1, 0}));
  }
  auto got = guest.read(kQueueData + 1000, 12), rest = guest.read(kQueueData + 2000, 188);
  got.insert(got.end(), rest.begin(), rest.end());
  EXPECT_EQ(std::vector<uint8_t>(got.begin() + long(header), got.begin() + long(header) + 100), second);
}

// A buffer may hold anything when it is offered: what a driver left there, or the very header that it is to get.
TEST_P(QueuesTest, HeadersOfUsedBuffersAreThisPacketsOwn) {
  start(kGuestCsum);
  const vale::VnetHdr checksum{1, 0, 0, 0, 34, 16};
  const auto frame = bytes_of(1, 1514);
  auto header_after = [&](const vale::VnetHdr& hdr, std::vector<uint8_t> before) {
    before.resize(header);
    guest.write(kQueueData, before);
    EXPECT_TRUE(rx_driver->offer(std::vector<Buffer>{{kQueueData, 1600, true}}, 1, false));
    EXPECT_EQ(deliver(frame, hdr), Delivery::kDone);
    (void)rx.finish();
    EXPECT_EQ(rx_driver->reap(), (Used{1, uint32_t(header) + 1514}));
    EXPECT_EQ(guest.read(kQueueData + header, 1514), frame);
    return guest.read(kQueueData, header);
  };
  auto expected = [&](const vale::VnetHdr& hdr) {
    auto bytes = with_header(hdr, header, {});
    if (header > 10) bytes[10] = 1;
    return bytes;
  };
  EXPECT_EQ(header_after({}, std::vector<uint8_t>(header, 0xff)), expected({}));
  EXPECT_EQ(header_after({}, expected({})), expected({}));
  EXPECT_EQ(header_after(checksum, expected({})), expected(checksum));
  EXPECT_EQ(header_after({}, expected(checksum)), expected({}));
  for (size_t at = 0; at < header; at++) {
    auto before = expected({});
    before[at] ^= 0x40;
    EXPECT_EQ(header_after({}, before), expected({})) << at;
  }
}

TEST_P(QueuesTest, SeveralBuffersAPacket) {
  start(kMrgRxbuf | kGuestCsum | kGuestTso4);
  for (uint64_t i = 0; i < 6; i++)
    ASSERT_TRUE(rx_driver->offer(std::vector<Buffer>{{kQueueData + 0x800 * i, 1000, true}}, i, false));
  const auto large = bytes_of(1, 3500), small = bytes_of(2, 60);
  const vale::VnetHdr hdr{1, 1, 54, 1448, 34, 16};
  EXPECT_EQ(deliver(large, hdr, 1999), Delivery::kDone);
  // Two are left: not enough for this, but for that.
  EXPECT_EQ(deliver(large, hdr), Delivery::kNoBuffers);
  EXPECT_EQ(deliver(small), Delivery::kDone);
  EXPECT_TRUE(rx.finish());
  const uint32_t rest = 3500 + 12 - 3000;
  EXPECT_EQ(rx_driver->reap(), (Used{0, 1000}));
  EXPECT_EQ(rx_driver->reap(), (Used{1, 1000}));
  EXPECT_EQ(rx_driver->reap(), (Used{2, 1000}));
  EXPECT_EQ(rx_driver->reap(), (Used{3, rest}));
  EXPECT_EQ(rx_driver->reap(), (Used{4, 72}));
  EXPECT_EQ(rx_driver->reap(), std::nullopt);
  auto got = guest.read(kQueueData, 1000);
  EXPECT_EQ(memcmp(got.data(), &hdr, 10), 0);
  EXPECT_EQ(got[10], 4);
  for (uint64_t i = 1; i < 4; i++) {
    auto more = guest.read(kQueueData + 0x800 * i, i < 3 ? 1000 : rest);
    got.insert(got.end(), more.begin(), more.end());
  }
  EXPECT_EQ(std::vector<uint8_t>(got.begin() + 12, got.end()), large);
}

TEST_P(QueuesTest, PacketsWaitForBuffersWithoutMissingAny) {
  start(kMrgRxbuf);
  auto offer = [&](uint64_t token) {
    return rx_driver->offer(std::vector<Buffer>{{kQueueData + 0x200 * (token % 64), 500, true}}, token, false);
  };
  rx.disarm();
  uint64_t token = 0;
  const auto frame = bytes_of(1, 1400);  // three buffers
  for (int turn = 0; turn < 100; turn++) {
    EXPECT_EQ(deliver(frame), Delivery::kNoBuffers);
    (void)rx.finish();
    EXPECT_FALSE(rx.arm(*batch)) << "nothing new";
    ASSERT_TRUE(offer(token++));
    EXPECT_TRUE(rx_driver->kick_wanted()) << turn;
    EXPECT_TRUE(rx.arm(*batch)) << "one more";
    EXPECT_EQ(deliver(frame), Delivery::kNoBuffers);
    ASSERT_TRUE(offer(token++));  // between looking and sleeping
    (void)rx.finish();
    EXPECT_TRUE(rx.arm(*batch));
    ASSERT_TRUE(offer(token++));
    rx.disarm();
    EXPECT_EQ(deliver(frame), Delivery::kDone);
    (void)rx.finish();
    (void)rx_driver->kick_wanted();
    for (uint64_t i = token - 3; i < token; i++) ASSERT_EQ(rx_driver->reap()->token, i);
  }
}

TEST_P(QueuesTest, TinyBuffersLoseThePacketAndNothingElse) {
  start(kMrgRxbuf);
  // More pieces than a batch holds never make a packet: only a large queue can offer them.
  auto big = make_driver(guest, kRxRing, 256, GetParam() | kMrgRxbuf);
  ASSERT_EQ(rx.start(guest.memory, big->setup()), RingFault::kNone);
  for (uint64_t i = 0; i < 256; i++) ASSERT_TRUE(big->offer(std::vector<Buffer>{{kQueueData + i, 1, true}}, i, false));
  EXPECT_EQ(deliver(bytes_of(1, 200)), Delivery::kDropped);
  EXPECT_EQ(rx.counters().too_many_pieces, 1u);
  EXPECT_EQ(deliver(bytes_of(2, 60)), Delivery::kDone);  // 72 buffers
  EXPECT_EQ(deliver(bytes_of(2, 60)), Delivery::kDone);  // over the end of the batch
  (void)rx.finish();
  for (uint64_t i = 0; i < 144; i++) ASSERT_EQ(big->reap(), (Used{i, 1}));
  EXPECT_EQ(big->reap(), std::nullopt);
}

TEST_P(QueuesTest, GuestsGetWhatTheyAgreedTo) {
  const vale::VnetHdr tso4{1, 1, 54, 1448, 34, 16}, tso6{1, 4, 74, 1428, 54, 16}, uso{1, 5, 42, 1400, 34, 6},
      ecn{1, 0x81, 54, 1448, 34, 16}, checksum{1, 0, 0, 0, 34, 16};
  const auto frame = bytes_of(1, 3000);
  auto tell = [&](uint64_t features, const vale::VnetHdr& hdr) {
    return fit(hdr, frame.size(), guest_offloads(GetParam() | features));
  };
  EXPECT_EQ(tell(0, {}), Fit::kWhole);
  EXPECT_EQ(tell(0, checksum), Fit::kSoftware);
  EXPECT_EQ(tell(kGuestCsum, checksum), Fit::kWhole);
  EXPECT_EQ(tell(kGuestCsum, tso4), Fit::kSoftware);
  EXPECT_EQ(tell(kGuestTso4, tso4), Fit::kSoftware) << "means nothing without checksums";
  EXPECT_EQ(tell(kGuestCsum | kGuestTso4, tso4), Fit::kWhole);
  EXPECT_EQ(tell(kGuestCsum | kGuestTso4, tso6), Fit::kSoftware);
  EXPECT_EQ(tell(kGuestCsum | kGuestTso6, tso6), Fit::kWhole);
  EXPECT_EQ(tell(kGuestCsum | kGuestTso4, ecn), Fit::kSoftware);
  EXPECT_EQ(tell(kGuestCsum | kGuestTso4 | kGuestEcn, ecn), Fit::kWhole);
  EXPECT_EQ(tell(kGuestCsum | kGuestUso4, uso), Fit::kSoftware);
  EXPECT_EQ(tell(kGuestCsum | kGuestUso4 | kGuestUso6, uso), Fit::kWhole);
  EXPECT_EQ(tell(kAllOffloads, {1, 3, 42, 1400, 34, 6}), Fit::kSoftware) << "fragmentation is never offered";
  EXPECT_EQ(tell(kAllOffloads, {1, 0, 0, 0, 2999, 0}), Fit::kBad);
  EXPECT_EQ(tell(kAllOffloads, {1, 1, 54, 0, 34, 16}), Fit::kBad);
  EXPECT_EQ(tell(kAllOffloads, {1, 1, 3001, 1448, 34, 16}), Fit::kBad);

  start(kGuestCsum);
  for (uint64_t i = 0; i < 4; i++)
    ASSERT_TRUE(rx_driver->offer(std::vector<Buffer>{{kQueueData + 0x1000 * i, 0x1000, true}}, i, false));
  EXPECT_EQ(deliver(frame, tso4), Delivery::kNeedsSoftware);
  EXPECT_EQ(deliver(frame, {1, 0, 0, 0, 0xfff0, 0xfff0}), Delivery::kDropped);
  EXPECT_EQ(rx.counters().bad_header, 1u);
  EXPECT_EQ(deliver(frame, {3, 0, 0, 0, 34, 16}), Delivery::kDone);  // not there yet, so not verified either
  EXPECT_EQ(deliver(frame, {2, 0, 0, 0, 0, 0}), Delivery::kDone);
  (void)rx.finish();
  EXPECT_EQ(guest.read(kQueueData, 1)[0], vale::kVnetNeedsCsum);
  EXPECT_EQ(guest.read(kQueueData + 0x1000, 1)[0], vale::kVnetDataValid);
  start();
  ASSERT_TRUE(rx_driver->offer(std::vector<Buffer>{{kQueueData, 0x1000, true}}, 0, false));
  EXPECT_EQ(deliver(frame, {2, 0, 0, 0, 0, 0}), Delivery::kDone);
  (void)rx.finish();
  EXPECT_EQ(guest.read(kQueueData, 1)[0], 0) << "this guest knows nothing of checksums";
}

TEST_P(QueuesTest, LogsThePagesOfReceivedPackets) {
  start(kMrgRxbuf);
  UniqueFd log(memfd_create("log", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(log.get(), 4096), 0);
  ASSERT_TRUE(guest.memory.set_log(log.get(), 4096, 0));
  guest.memory.set_logging(true);
  ASSERT_TRUE(rx_driver->offer(std::vector<Buffer>{{kQueueData + 4000, 6000, true}}, 0, false));
  ASSERT_TRUE(rx_driver->offer(std::vector<Buffer>{{kQueueData + 0x8000, 4096, true}}, 1, false));
  ASSERT_EQ(deliver(bytes_of(1, 7000)), Delivery::kDone);
  (void)rx.finish();
  std::vector<uint64_t> pages, expected;
  uint8_t bits[4096];
  ASSERT_EQ(pread(log.get(), bits, sizeof bits, 0), ssize_t(sizeof bits));
  for (uint64_t page = kQueueData / 4096; page < TestGuest::kEnd / 4096; page++)
    if (bits[page / 8] >> (page % 8) & 1) pages.push_back(page * 4096);
  EXPECT_EQ(pages, (std::vector<uint64_t>{kQueueData, kQueueData + 0x1000, kQueueData + 0x2000, kQueueData + 0x8000}));
}

// Random packets in random shapes through a device that takes and delivers them at its own pace.
TEST_P(QueuesTest, RandomTrafficArrivesAsItWasSent) {
  for (uint64_t extra : {uint64_t{0}, kMrgRxbuf}) {
    start(kAllOffloads | extra);
    std::mt19937 random(uint32_t(GetParam() + extra));
    auto upto = [&](uint32_t most) { return uint32_t(random() % most + 1); };
    std::deque<std::vector<uint8_t>> sent;                      // frames, in order
    std::map<uint64_t, std::pair<uint64_t, uint32_t>> buffers;  // of the receive ring
    uint64_t token = 0, reaped = 0, rx_token = 0, checked = 0;
    std::deque<std::vector<uint8_t>> held;  // by the device
    std::vector<uint8_t> arriving;
    unsigned parts_left = 0;
    const bool tables = (GetParam() & kIndirectDesc) != 0;
    while (checked < 3000) {
      if (token - reaped < 32) {
        const auto frame = bytes_of(random(), random() % 8 ? 14 + upto(1500) : 14 + upto(9000));
        std::vector<uint32_t> cuts(upto(6) - 1);
        for (uint32_t& cut : cuts) cut = upto(400);
        const uint64_t at = TestGuest::kBase + 0x90000 + (token % 32) * 0x3800;
        if (send(with_header({}, header, frame), token, at, cuts, tables && random() % 2)) {
          token++;
          sent.push_back(frame);
        }
      }
      for (unsigned n = upto(4); n > 0; n--) {
        const uint64_t at = TestGuest::kBase + 0x100000 + (rx_token % 64) * 0x3000;
        const uint32_t bytes = extra ? 100 + upto(3000) : 9100;
        const uint32_t cut = upto(bytes - 1);
        if (rx_token - checked > 4000 ||
            !rx_driver->offer(std::vector<Buffer>{{at, cut, true}, {at + cut, bytes - cut, true}}, rx_token,
                              tables && random() % 2))
          break;
        buffers[rx_token++] = {at, bytes};
        if (buffers.size() >= 60) break;
      }
      if (random() % 2) {
        const size_t count = fetch(upto(kMaxFetch));
        const size_t take = count ? random() % (count + 1) : 0;
        for (size_t i = 0; i < take; i++) held.push_back(gathered(packets[i].frame));
        (void)tx.complete(take);
      }
      if (random() % 2) {
        while (!held.empty() && random() % 5) {
          const Delivery done = deliver(held.front(), {}, random() % held.front().size());
          ASSERT_TRUE(done == Delivery::kDone || done == Delivery::kNoBuffers) << describe(rx.ring().fault());
          if (done == Delivery::kNoBuffers) break;
          held.pop_front();
        }
        (void)rx.finish();
      }
      while (auto used = tx_driver->reap()) ASSERT_EQ(used->token, reaped++);
      while (auto used = rx_driver->reap()) {
        const auto [at, bytes] = buffers[used->token];
        buffers.erase(used->token);
        ASSERT_LE(used->written, bytes);
        auto part = guest.read(at, used->written);
        if (parts_left == 0) {
          parts_left = header == 12 ? unsigned(part.at(10) | part.at(11) << 8) : 1;
          part.erase(part.begin(), part.begin() + long(header));
        }
        arriving.insert(arriving.end(), part.begin(), part.end());
        if (--parts_left > 0) continue;
        ASSERT_EQ(arriving, sent.front());
        sent.pop_front();
        arriving.clear();
        checked++;
      }
    }
    EXPECT_EQ(tx.ring().fault(), RingFault::kNone);
    EXPECT_EQ(rx.ring().fault(), RingFault::kNone);
  }
}

}  // namespace
}  // namespace unetmap::virtio
