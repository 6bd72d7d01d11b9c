// SPDX-License-Identifier: BSD-2-Clause
// Virtual machines on a switch over vhost-user: traffic of both ring layouts, hostile drivers beside good ones, a guest
// that does not take its packets, the log of written pages, and large frames.
#include <gtest/gtest.h>

#include <set>

#include "commands.hh"
#include "vale/offload.hh"
#include "vale/wire_bytes.hh"
#include "vm.hh"

namespace {

using namespace vm;
using flows::eventually;

class VhostUserTest : public testing::TestWithParam<uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Layouts, VhostUserTest,
                         testing::Values(0, kEventIdx | kIndirectDesc, kInOrder | kEventIdx, kRingPacked,
                                         kRingPacked | kEventIdx | kInOrder | kIndirectDesc),
                         [](const auto& info) {
                           return std::string(info.param & kRingPacked ? "Packed" : "Split") +
                                  (info.param & kEventIdx ? "EventIdx" : "") + (info.param & kInOrder ? "InOrder" : "");
                         });

TEST_P(VhostUserTest, TwoGuestsExchangeFrames) {
  Plug plug_a("a"), plug_b("b");
  Vm a(plug_a.path, kBasic | GetParam()), b(plug_b.path, kBasic | GetParam());
  ASSERT_TRUE(a.connect());
  ASSERT_TRUE(b.connect());
  EXPECT_EQ(a.offered & (kBasic | GetParam()), kBasic | GetParam());
  exchange(a, b, 1, 2, 2000);
  // Frames are what is counted, at either end: not the headers that the guests have before them.
  uint64_t bytes = 0;
  for (uint64_t n = 0; n < 2000; n++) bytes += 60 + n % 1400;
  const std::string counted = "\":{\"packets\":2000,\"bytes\":" + std::to_string(bytes) + ',';
  EXPECT_NE((commands::run("unetmap stats --json " + plug_a.port), commands::said).find("\"tx" + counted), std::string::npos);
  EXPECT_NE((commands::run("unetmap stats --json " + plug_b.port), commands::said).find("\"rx" + counted), std::string::npos);
  exchange(b, a, 2, 1, 2000);
  // A reboot, the memory told again while running, and a polite way out and in again.
  a.front->send_value(Id::kGetVringBase, vhost_user::VringState{0, 0});
  (void)a.front->answer<vhost_user::VringState>(Id::kGetVringBase);
  a.front->send_value(Id::kGetVringBase, vhost_user::VringState{1, 0});
  (void)a.front->answer<vhost_user::VringState>(Id::kGetVringBase);
  a.boot();
  a.start_ring(0);
  a.start_ring(1);
  ASSERT_TRUE(a.settled());
  exchange(a, b, 1, 2, 500);
  b.send_memory();
  ASSERT_TRUE(b.settled());
  exchange(a, b, 1, 2, 500);
  b.disconnect(true);
  ASSERT_TRUE(eventually([&] { return b.connect(); }));
  exchange(a, b, 1, 2, 500);
  exchange(b, a, 2, 1, 500);
}

TEST_P(VhostUserTest, AGuestThatStopsHoldsUpNobody) {
  Plug plug_a("a"), plug_b("b"), plug_c("c");
  Vm a(plug_a.path, kBasic | GetParam()), b(plug_b.path, kBasic | GetParam()), c(plug_c.path, kBasic | GetParam());
  for (Vm* each : {&a, &b, &c}) ASSERT_TRUE(each->connect());
  exchange(b, a, 2, 1, 20);
  exchange(c, a, 3, 1, 20);
  // Nobody looks after b's rings: far more than they and the switch can hold is sent to it.
  uint64_t sent = 0;
  ASSERT_TRUE(eventually([&] {
    while (sent < 20000 && a.send(frame_from_to(1, 2, sent))) sent++;
    return sent == 20000;
  })) << "the sender is held up after "
      << sent;
  EXPECT_TRUE(eventually([&] { return a.all_returned(); }));
  exchange(a, c, 1, 3, 2000);
  exchange(c, a, 3, 1, 2000);
  // It wakes up, finds old frames in order, and gets new ones.
  uint64_t last = 0, mark = 0;
  EXPECT_TRUE(eventually([&] {
    for (const Frame& frame : b.receive()) {
      uint64_t number = number_of(frame.bytes);
      if (number >= 1'000'000)
        mark = number;
      else
        EXPECT_TRUE(number == 0 || number > last) << number << " after " << last;
      last = number;
    }
    a.send(frame_from_to(1, 2, 1'000'000));
    return mark != 0;
  }));
}

// --- hostile drivers ---

struct Entry {
  uint64_t address;
  uint32_t bytes;
  uint16_t flags, next;
};

// Each writes to the rings of `evil` what no driver may; the bells ring afterwards.
struct Evil {
  const char* name;
  std::function<void(Vm&, bool packed)> act;
};

void put(Vm& evil, int ring, uint32_t slot, Entry entry, bool packed) {
  uint8_t raw[16];
  if (packed) entry.flags |= 1 << 7;
  memcpy(raw, &entry.address, 8);
  memcpy(raw + 8, &entry.bytes, 4);
  memcpy(raw + 12, packed ? &entry.next : &entry.flags, 2);
  memcpy(raw + 14, packed ? &entry.flags : &entry.next, 2);
  evil.guest.write(evil.ring[ring].driver->descriptors_at() + 16 * slot, raw);
}
void offer(Vm& evil, int ring, uint16_t head, bool packed) {
  if (packed) return;
  const uint64_t at = evil.ring[ring].driver->driver_at();
  uint16_t* index = evil.guest.at<uint16_t>(at + 2);
  *evil.guest.at<uint16_t>(at + 4 + 2 * (*index % Vm::kSize)) = head;
  __atomic_store_n(index, uint16_t(*index + 1), __ATOMIC_RELEASE);
}
Evil one(const char* name, Entry entry) {
  return {name, [entry](Vm& evil, bool packed) {
            put(evil, 1, 0, entry, packed);
            offer(evil, 1, 0, packed);
          }};
}

const std::vector<Evil>& evils() {
  constexpr uint64_t kData = Vm::kTxBuffers;
  static const std::vector<Evil> all{
      one("empty buffer", {kData, 0, 0, 0}),
      one("buffer past its region", {TestGuest::kEnd - 8, 64, 0, 0}),
      one("address of nothing", {0xdead'beef'0000, 64, 0, 0}),
      one("address at the end of all", {UINT64_MAX - 3, 64, 0, 0}),
      one("length beyond everything", {kData, 0xffffffff, 0, 0}),
      one("writable where nothing is to be written", {kData, 64, 2, 0}),
      one("table not agreed on, or outside", {TestGuest::kEnd, 16, 4, 0}),
      {"a chain that loops",
       [](Vm& evil, bool packed) {
         for (uint32_t i = 0; i < Vm::kSize; i++) put(evil, 1, i, {kData, 8, 1, uint16_t((i + 1) % Vm::kSize)}, packed);
         offer(evil, 1, 0, packed);
       }},
      {"a next descriptor out of range",
       [](Vm& evil, bool packed) {
         put(evil, 1, 0, {kData, 8, 1, 0xfff0}, packed);
         if (packed) put(evil, 1, 1, {0, 8, 0, 0}, packed);
         offer(evil, 1, 0, packed);
       }},
      {"a head out of range, or a table in a chain",
       [](Vm& evil, bool packed) {
         put(evil, 1, 0, {kData, 16, 1, 1}, packed);
         put(evil, 1, 1, {kData, 16, 4, 0}, packed);
         offer(evil, 1, 0x4000, packed);
       }},
      {"an index far ahead, or the wrong way round",
       [](Vm& evil, bool packed) {
         put(evil, 1, 0, {kData, 16, 3, 1}, packed);
         put(evil, 1, 1, {kData, 16, 0, 0}, packed);
         if (!packed) *evil.guest.at<uint16_t>(evil.ring[1].driver->driver_at() + 2) = 0x7fff;
       }},
      {"receive buffers that cannot be written",
       [](Vm& evil, bool packed) {
         for (uint32_t i = 0; i < Vm::kSize; i++) put(evil, 0, i, {Vm::kRxBuffers, 64, 0, 0}, packed);
       }},
      {"memory cut short under way",
       [](Vm& evil, bool packed) {
         put(evil, 1, 0, {TestGuest::kEnd - 4096, 64, 0, 0}, packed);
         EXPECT_EQ(ftruncate(evil.guest.fd(1), 4096), 0);
         offer(evil, 1, 0, packed);
       }},
  };
  return all;
}

TEST(VhostUserHostile, AHostileDriverBreaksItsOwnDeviceOnly) {
  Plug plug_a("a"), plug_b("b"), plug_h("h");
  Vm a(plug_a.path), b(plug_b.path);
  ASSERT_TRUE(a.connect());
  ASSERT_TRUE(b.connect());
  uint64_t number = 0;
  for (uint64_t layout : {uint64_t{0}, kRingPacked}) {
    for (const Evil& evil : evils()) {
      SCOPED_TRACE(std::string(evil.name) + (layout ? ", packed" : ", split"));
      Vm hostile(plug_h.path, kBasic | layout);
      ASSERT_TRUE(eventually([&] { return hostile.connect(); }));
      evil.act(hostile, layout != 0);
      for (int i = 0; i < 2; i++) hostile.force_kick(i);
      // Something for it to receive.
      ASSERT_TRUE(b.send(frame_from_to(2, 9, 0)));
      ASSERT_TRUE(eventually([&] {
        return Vm::signalled(hostile.ring[0].err, 0) || Vm::signalled(hostile.ring[1].err, 10) || hostile.hung_up();
      })) << "the device is not marked broken";
      exchange(a, b, 1, 2, 100, number);
      (void)a.receive();
      number += 100;
    }
  }
  // Whoever comes next on that port finds a device in order.
  Vm good(plug_h.path);
  ASSERT_TRUE(eventually([&] { return good.connect(); }));
  exchange(good, a, 3, 1, 100);
}

// --- live migration ---

TEST_P(VhostUserTest, EveryPageWrittenIsLogged) {
  Plug plug_a("a"), plug_b("b");
  Vm a(plug_a.path, kBasic | GetParam()), b(plug_b.path, kBasic | GetParam());
  ASSERT_TRUE(a.connect());
  ASSERT_TRUE(b.connect());
  exchange(a, b, 1, 2, 50);
  exchange(b, a, 2, 1, 50);
  // The log begins in the middle of everything.
  constexpr uint64_t kLogBytes = TestGuest::kEnd / 4096 / 8 + 8;
  UniqueFd log(memfd_create("log", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(log.get(), kLogBytes), 0);
  b.front->send_value(Id::kSetLogBase, vhost_user::LogArea{kLogBytes, 0}, {log.get()});
  if (b.front->has_answer(2000)) {
    vhost_user::Header header;
    uint64_t rest;
    ASSERT_EQ(recv(b.front->fd(), &header, sizeof header, MSG_WAITALL), ssize_t(sizeof header));
    ASSERT_LE(header.size, sizeof rest);
    ASSERT_EQ(recv(b.front->fd(), &rest, header.size, MSG_WAITALL), ssize_t(header.size));
  }
  b.front->send_u64(Id::kSetFeatures, kBasic | GetParam() | vhost_user::kHasProtocolFeatures | vhost_user::kLogAll);
  for (uint32_t i = 0; i < 2; i++) b.send_addresses(i, true);
  ASSERT_TRUE(b.settled());
  const auto before = b.guest.read(TestGuest::kBase, TestGuest::kEnd - TestGuest::kBase);
  // The driver of b does nothing but look: what changes is the device's doing.
  std::set<uint64_t> got;
  uint64_t next = 0;
  ASSERT_TRUE(eventually([&] {
    while (next < 60 && next < got.size() + 8 && a.send(frame_from_to(1, 2, 1000 + next, 1000))) next++;
    for (const Frame& frame : b.receive(true)) got.insert(number_of(frame.bytes));
    return got.size() == 60;
  }));
  b.front->send_value(Id::kGetVringBase, vhost_user::VringState{0, 0});
  (void)b.front->answer<vhost_user::VringState>(Id::kGetVringBase);
  const auto after = b.guest.read(TestGuest::kBase, TestGuest::kEnd - TestGuest::kBase);
  std::vector<uint8_t> bits(kLogBytes);
  ASSERT_EQ(pread(log.get(), bits.data(), bits.size(), 0), ssize_t(bits.size()));
  size_t written = 0, marked = 0;
  for (uint64_t at = 0; at < after.size(); at += 4096) {
    const uint64_t page = (TestGuest::kBase + at) / 4096;
    const bool is_marked = bits[page / 8] >> page % 8 & 1, differs = memcmp(&before[at], &after[at], 4096) != 0;
    written += differs;
    marked += is_marked;
    EXPECT_TRUE(!differs || is_marked) << "page " << std::hex << page * 4096 << " was written and is not in the log";
  }
  EXPECT_GE(written, 30u);         // 60 buffers of half a page each, and the ring
  EXPECT_LE(marked, written + 2);  // no more than could be: a few words are written with what they held
}

// --- large frames ---

// A TCP frame over IPv4 whose checksum is to be completed.
Frame tcp_frame(size_t payload, uint16_t mss) {
  Frame frame;
  frame.bytes = frame_from_to(1, 2, 7, 54 + payload);
  uint8_t* ip = &frame.bytes[14];
  const uint8_t head[40] = {0x45, 0, 0,    0, 0x12, 0x34, 0x40, 0,    64,   6,    0, 0, 10,   0,
                            0,    1, 10,   0, 0,    2,    0x12, 0x34, 0x56, 0x78, 0, 0, 0x10, 0,
                            0,    0, 0x20, 0, 0x50, 0x18, 0xff, 0xff, 0,    0,    0, 0};
  memcpy(&frame.bytes[12], "\x08\x00", 2);
  memcpy(ip, head, sizeof head);
  vale::store_be16(ip + 2, uint16_t(40 + payload));
  auto sum = [](const uint8_t* at, size_t bytes, uint32_t from) {
    for (size_t i = 0; i < bytes; i += 2) from += uint32_t(at[i]) << 8 | (i + 1 < bytes ? at[i + 1] : 0);
    while (from >> 16) from = (from & 0xffff) + (from >> 16);
    return from;
  };
  vale::store_be16(ip + 10, uint16_t(~sum(ip, 20, 0)));
  vale::store_be16(ip + 36, uint16_t(sum(ip + 12, 8, uint32_t(6 + 20 + payload))));
  frame.hdr = {vale::kVnetNeedsCsum, vale::kGsoTcp4, 54, mss, 34, 16};
  return frame;
}

TEST_P(VhostUserTest, LargeFramesCrossWholeOrAreCutToTheByte) {
  Plug plug_a("a"), plug_b("b"), plug_c("c");
  Vm a(plug_a.path, kBasic | kOffloads | GetParam()), b(plug_b.path, kBasic | kOffloads | GetParam()),
      plain(plug_c.path, kBasic | GetParam());
  for (Vm* each : {&a, &b, &plain}) ASSERT_TRUE(each->connect());
  nmport_d* host = flows::open_port("valeV:host");
  ASSERT_NE(host, nullptr);
  ASSERT_EQ(run("unetmap set valeV:host lossless on"), 0);
  for (const size_t payload : {size_t{1}, size_t{1448}, size_t{1449}, size_t{20000}, size_t{65535 - 40}}) {
    const Frame large = tcp_frame(payload, 1448);
    // What the switch's segmentation makes of it, which is checked against the kernel's own elsewhere.
    std::vector<uint8_t> with_header(12);
    memcpy(with_header.data(), &large.hdr, sizeof large.hdr);
    with_header.insert(with_header.end(), large.bytes.begin(), large.bytes.end());
    vale::Segmenter segmenter;
    ASSERT_EQ(segmenter.start(with_header, 12, {.hdr_len = 0}), vale::Refusal::kNone);
    std::vector<std::vector<uint8_t>> pieces;
    std::vector<uint8_t> out(70000);
    while (size_t n = segmenter.next(out)) pieces.emplace_back(out.begin(), out.begin() + long(n));
    ASSERT_EQ(pieces.size(), std::max<size_t>(1, (payload + 1447) / 1448));

    std::vector<Frame> whole, cut;
    std::vector<std::vector<uint8_t>> at_host;
    // An address nobody has: to everybody.
    ASSERT_TRUE(a.send(large.bytes, large.hdr, true));
    ASSERT_TRUE(eventually([&] {
      for (Frame& frame : b.receive()) whole.push_back(std::move(frame));
      for (Frame& frame : plain.receive()) cut.push_back(std::move(frame));
      flows::wait_for(host, POLLIN, 10);
      netmap_ring* ring = NETMAP_RXRING(host->nifp, 0);
      for (; !nm_ring_empty(ring); ring->head = ring->cur = nm_ring_next(ring, ring->head)) {
        const netmap_slot& slot = ring->slot[ring->head];
        const char* bytes = NETMAP_BUF(ring, slot.buf_idx);
        at_host.emplace_back(bytes, bytes + slot.len);
      }
      return whole.size() == 1 && cut.size() == pieces.size() && at_host.size() == pieces.size();
    })) << payload
        << " bytes: " << whole.size() << " whole, " << cut.size() << " and " << at_host.size() << " of "
        << pieces.size() << " pieces";
    EXPECT_EQ(whole[0].bytes, large.bytes);
    EXPECT_EQ(whole[0].hdr.gso_type, large.hdr.gso_type);
    EXPECT_EQ(whole[0].hdr.gso_size, large.hdr.gso_size);
    EXPECT_EQ(whole[0].hdr.flags, vale::kVnetNeedsCsum);
    EXPECT_EQ(at_host, pieces);
    for (size_t i = 0; i < pieces.size(); i++) {
      EXPECT_EQ(cut[i].bytes, pieces[i]) << "piece " << i;
      EXPECT_EQ(cut[i].hdr.gso_type, 0);
      EXPECT_EQ(cut[i].hdr.flags, 0);
    }
  }
  nmport_close(host);
}

}  // namespace
