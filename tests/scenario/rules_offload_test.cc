// SPDX-License-Identifier: BSD-2-Clause
// What a virtual machine leaves to its device - checksums, TCP segments to be cut - goes through VLANs, access lists,
// fences, groups and mirrors as the frames would that come of it: to every kind of port, in both directions.
#include <gtest/gtest.h>

#include <algorithm>

#include "card.hh"
#include "endpoints.hh"
#include "vale/offload.hh"
#include "vale/offload_test_frames.hh"

namespace {

using namespace endpoints;
using flows::eventually;
using unetmap::vale::Segmenter;
using unetmap::vale::testing::FrameSpec;
using vm::Frame;
namespace vale = unetmap::vale;

constexpr uint8_t kSender = 10, kReceiver = 2;

class E1000 final : public Plugged {
 public:
  E1000(const std::string& port, const Shape& shape) : Plugged(port, shape, "e1000"), card_(path_) {
    EXPECT_TRUE(eventually([&] { return card_.connect(); })) << path_;
    card_.start();
    card_.write(card::Card::kRctl, 0x4000000 | 0x801a);  // frames come without their checksum
  }
  size_t put(std::span<const Bytes>) override { return 0; }
  std::vector<Bytes> get() override { return card_.receive(); }

 private:
  card::Card card_;
};

Bytes with_tag(Bytes frame, uint16_t vid) {
  const uint8_t tag[4] = {0x81, 0, uint8_t(vid >> 8), uint8_t(vid)};
  frame.insert(frame.begin() + 12, tag, tag + 4);
  return frame;
}
// The same one with its tag, as it is announced then.
Frame tagged(Frame frame, uint16_t vid) {
  frame.bytes = with_tag(frame.bytes, vid);
  if (frame.hdr.flags & vale::kVnetNeedsCsum) frame.hdr.csum_start += 4;
  if (frame.hdr.gso_type) frame.hdr.hdr_len += 4;
  return frame;
}

Frame frame_of(FrameSpec spec, uint8_t from, uint8_t to) {
  if (spec.gso_type == vale::kGsoNone) spec.gso_size = 0;
  Frame out;
  out.bytes = vale::testing::build_frame(spec);
  const Bytes head = vm::frame_from_to(from, to, 0);
  std::copy_n(head.begin(), 12, out.bytes.begin());
  out.hdr = {uint8_t(spec.needs_csum ? vale::kVnetNeedsCsum : 0),
             spec.gso_type,
             uint16_t(spec.gso_type ? spec.headers() : 0),
             uint16_t(spec.gso_size),
             uint16_t(spec.needs_csum ? spec.transport() : 0),
             uint16_t(spec.needs_csum ? spec.checksum_at() - spec.transport() : 0)};
  return out;
}

// What somebody without offloads has of it.
std::vector<Bytes> plain(const Frame& frame) {
  Bytes whole(12);
  memcpy(whole.data(), &frame.hdr, sizeof frame.hdr);
  whole.insert(whole.end(), frame.bytes.begin(), frame.bytes.end());
  Segmenter segmenter;
  EXPECT_EQ(segmenter.start(whole, 12, {.hdr_len = 0}), vale::Refusal::kNone);
  std::vector<Bytes> out;
  Bytes piece(70000);
  while (size_t n = segmenter.next(piece)) out.emplace_back(piece.begin(), piece.begin() + long(n));
  return out;
}

struct What {
  const char* name;
  FrameSpec spec;
};
std::vector<What> whats() {
  return {{"Checksum", {.payload = 600, .gso_type = 0}},
          {"ChecksumOfUdp", {.udp = true, .payload = 600, .gso_type = 0}},
          {"Tcp4", {.payload = 5000}},
          {"Tcp4Long", {.payload = 65000}},
          {"Tcp6", {.ipv6 = true, .payload = 9000, .gso_type = 4, .gso_size = 1428}},
          {"Short", {.payload = 100}}};
}

enum class To { kWhole, kWholeNeighbour, kPlainMachine, kPlainNeighbour, kProgram, kStream, kDgram, kCard };
const char* const kNames[] = {"Machine", "Neighbour", "MachineWithout", "NeighbourWithout",
                              "Program", "Stream",    "Dgram",          "E1000"};

std::unique_ptr<Endpoint> make_to(To to, const std::string& port) {
  const Shape shape{.lossless = true};
  switch (to) {
    case To::kWhole:
    case To::kWholeNeighbour:
      return std::make_unique<Machine>(port, shape, to == To::kWhole, vm::kBasic | vm::kOffloads);
    case To::kPlainMachine:
    case To::kPlainNeighbour:
      return std::make_unique<Machine>(port, shape, to == To::kPlainMachine);
    case To::kProgram:
      return std::make_unique<Program>(port, shape);
    case To::kStream:
      return std::make_unique<StreamPeer>(port, shape);
    case To::kDgram:
      return std::make_unique<DgramPeer>(port, shape);
    case To::kCard:
      return std::make_unique<E1000>(port, shape);
  }
  return nullptr;
}

class RulesOffload : public testing::TestWithParam<To> {
 protected:
  RulesOffload()
      : whole_(GetParam() == To::kWhole || GetParam() == To::kWholeNeighbour),
        to_(make_to(GetParam(), "valeO:to")),
        from_("valeO:from", {}, false, vm::kBasic | vm::kOffloads) {}
  // One that is sent, and what is there in the end. `want`: as a machine with offloads has it.
  testing::AssertionResult comes(const Frame& sent, const Frame& want) {
    if (!from_.machine().send(sent.bytes, sent.hdr, true)) return testing::AssertionFailure() << "not sent";
    std::vector<Bytes> expected = whole_ ? std::vector<Bytes>{want.bytes} : plain(want), got;
    std::vector<Frame> heads;
    const bool all = eventually([&] {
      from_.machine().collect();
      take(got, heads);
      return got.size() >= expected.size();
    });
    if (!all) return testing::AssertionFailure() << got.size() << " of " << expected.size() << " frames came";
    // A card's driver has short ones padded.
    for (Bytes& each : expected) each.resize(std::max<size_t>(each.size(), GetParam() == To::kCard ? 60 : 0));
    if (got != expected) {
      size_t at = 0;
      while (at < got.size() && at < expected.size() && got[at] == expected[at]) at++;
      return testing::AssertionFailure() << "frame " << at << " of " << expected.size()
                                         << " is another: " << (at < got.size() ? got[at].size() : 0) << " bytes, not "
                                         << expected[at].size();
    }
    for (const Frame& each : heads) {
      const vale::VnetHdr none{}, &wanted = whole_ ? want.hdr : none;
      if (memcmp(&each.hdr, &wanted, sizeof wanted) != 0)
        return testing::AssertionFailure() << "its header: csum_start " << each.hdr.csum_start << ", hdr_len "
                                           << each.hdr.hdr_len << ", type " << int(each.hdr.gso_type);
    }
    return testing::AssertionSuccess();
  }
  void take(std::vector<Bytes>& got, std::vector<Frame>& heads) {
    if (auto* machine = dynamic_cast<Machine*>(to_.get())) {
      for (Frame& each : machine->machine().receive()) {
        got.push_back(each.bytes);
        heads.push_back(std::move(each));
      }
    } else {
      for (Bytes& each : to_->get()) got.push_back(std::move(each));
    }
  }
  // What is not to come: it is counted, and nothing is there.
  testing::AssertionResult lost(const Frame& sent, const char* counter) {
    const uint64_t before = counter_of("valeO:from", "tx", counter);
    if (!from_.machine().send(sent.bytes, sent.hdr, true)) return testing::AssertionFailure() << "not sent";
    if (!eventually([&] { return counter_of("valeO:from", "tx", counter) > before; }, 5000))
      return testing::AssertionFailure() << counter << " did not count: " << said;
    std::vector<Bytes> got;
    std::vector<Frame> heads;
    take(got, heads);
    if (!got.empty()) return testing::AssertionFailure() << got.size() << " frames came";
    return testing::AssertionSuccess();
  }
  static void set(const std::string& port, const std::string& what) {
    ASSERT_EQ(run("unetmap set valeO:" + port + " " + what), 0) << said;
  }
  void each(const std::string& what, const std::function<void(const Frame&)>& check) {
    for (const What& one : whats()) {
      SCOPED_TRACE(what + ", " + one.name);
      check(frame_of(one.spec, kSender, kReceiver));
      if (HasFailure()) return;
    }
  }

  const bool whole_;
  std::unique_ptr<Endpoint> to_;
  Machine from_;
};
INSTANTIATE_TEST_SUITE_P(Table, RulesOffload,
                         testing::Values(To::kWhole, To::kWholeNeighbour, To::kPlainMachine, To::kPlainNeighbour,
                                         To::kProgram, To::kStream, To::kDgram, To::kCard),
                         [](const auto& info) { return std::string(kNames[int(info.param)]); });

TEST_P(RulesOffload, HoldForWhatIsLeftToTheDevice) {
  each("no rules", [&](const Frame& frame) { EXPECT_TRUE(comes(frame, frame)); });
  if (HasFailure()) return;

  set("from", "vlan access 10");
  set("to", "vlan access 10");
  each("access to access", [&](const Frame& frame) { EXPECT_TRUE(comes(frame, frame)); });
  set("to", "vlan trunk 10");
  each("access to trunk", [&](const Frame& frame) { EXPECT_TRUE(comes(frame, tagged(frame, 10))); });
  set("to", "vlan trunk 20 native 10");
  each("access to native", [&](const Frame& frame) { EXPECT_TRUE(comes(frame, frame)); });
  set("from", "vlan trunk 10,20");
  each("trunk to native", [&](const Frame& frame) { EXPECT_TRUE(comes(tagged(frame, 10), frame)); });
  each("trunk to trunk", [&](const Frame& frame) { EXPECT_TRUE(comes(tagged(frame, 20), tagged(frame, 20))); });
  set("to", "vlan access 20");
  each("trunk to access", [&](const Frame& frame) { EXPECT_TRUE(comes(tagged(frame, 20), frame)); });
  each("trunk, refused", [&](const Frame& frame) { EXPECT_TRUE(lost(tagged(frame, 30), "lost_vlan")); });
  set("from", "vlan access 10");
  set("to", "vlan off");
  each("access to a port without", [&](const Frame& frame) { EXPECT_TRUE(comes(frame, tagged(frame, 10))); });
  set("from", "vlan off");

  // Ports of the transport header, which all segments have, are what lists ask for.
  const std::string ports = "'deny tcp or udp or ip6; allow arp'";
  for (const char* list : {"acl_in", "acl_out"}) {
    const std::string at = list == std::string("acl_in") ? "from" : "to";
    set(at, std::string(list) + " 'deny tcp port 9999; deny udp port 9999'");
    each(std::string(list) + " allows", [&](const Frame& frame) { EXPECT_TRUE(comes(frame, frame)); });
    set(at, std::string(list) + " " + ports);
    each(std::string(list) + " denies", [&](const Frame& frame) { EXPECT_TRUE(lost(frame, "lost_acl")); });
    set(at, std::string(list) + " off");
  }

  // What leaves is looked at as it leaves: with its tag.
  set("from", "vlan access 10");
  set("to", "vlan trunk 10");
  set("to", "acl_out 'deny vlan 10'");
  each("tag denied", [&](const Frame& frame) { EXPECT_TRUE(lost(frame, "lost_acl")); });
  set("to", "acl_out 'allow vlan 10'");
  each("tag allowed", [&](const Frame& frame) { EXPECT_TRUE(comes(frame, tagged(frame, 10))); });
  set("to", "acl_out off");
  set("to", "vlan off");
  set("from", "vlan off");

  // Whoever sends.
  set("from", "mac 02:56:00:00:00:0a");
  each("own address", [&](const Frame& frame) { EXPECT_TRUE(comes(frame, frame)); });
  set("from", "mac 02:56:00:00:00:0b");
  each("another's address", [&](const Frame& frame) { EXPECT_TRUE(lost(frame, "lost_spoofed")); });
  set("from", "mac off");

  // All of a frame that counts a second has to go at once, however slow.
  set("from", "rate 1M");
  each("slowly", [&](const Frame& frame) {
    std::vector<Bytes> got;
    std::vector<Frame> heads;
    EXPECT_TRUE(eventually([&] {
      (void)from_.machine().send(frame.bytes, frame.hdr, true);
      take(got, heads);
      return !got.empty();
    })) << said;
    EXPECT_TRUE(eventually([&] { return from_.machine().all_returned(); }));
    // Those that were still on their way.
    const uint64_t sent = counter_of("valeO:from", "tx", "packets");
    EXPECT_GT(sent, 0u);
    EXPECT_TRUE(eventually([&] {
      const size_t before = got.size();
      take(got, heads);
      return got.size() == before;
    }));
  });
  set("from", "rate off");
  for (std::vector<Bytes> rest;;) {
    std::vector<Frame> heads;
    take(rest, heads);
    if (rest.empty()) break;
    rest.clear();
  }

  set("from", "isolated 1");
  set("to", "isolated 1");
  Program beside("valeO:beside", {});
  each("one group", [&](const Frame& frame) {
    ASSERT_TRUE(from_.machine().send(frame.bytes, frame.hdr, true));
    EXPECT_TRUE(eventually([&] { return !beside.get().empty(); }));
    std::vector<Bytes> got;
    std::vector<Frame> heads;
    take(got, heads);
    EXPECT_EQ(got.size(), 0u);
  });
}

// A mirror that is a program sees what passes as it would get it itself.
TEST_P(RulesOffload, MirrorsSeeWhatTheyCanHave) {
  Program program("valeO:m1", {.lossless = false});
  set("from", "mirror valeO:m1");
  each("mirror", [&](const Frame& frame) {
    EXPECT_TRUE(comes(frame, frame));
    std::vector<Bytes> seen;
    const std::vector<Bytes> expected = plain(frame);
    EXPECT_TRUE(eventually([&] {
      for (Bytes& each : program.get()) seen.push_back(std::move(each));
      return seen.size() >= expected.size();
    })) << seen.size()
        << " of " << expected.size();
    // Whoever is on the switch has what is for everybody once more.
    EXPECT_EQ(std::vector<Bytes>(seen.begin(), seen.begin() + std::min(long(seen.size()), long(expected.size()))),
              expected);
  });
}

const testing::Environment* const own_daemon = testing::AddGlobalTestEnvironment(new OwnDaemon);

}  // namespace
