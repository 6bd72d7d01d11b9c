// SPDX-License-Identifier: BSD-2-Clause
// Frames of every size by every way: from any kind of port to any other they arrive whole, or are lost and counted;
// never cut, and never without a word. Sizes are around those of buffers, with and without virtio-net headers, of
// Ethernet's longest frame and of IP's.
#include <gtest/gtest.h>

#include "endpoints.hh"

namespace {

using namespace endpoints;
using flows::eventually;

constexpr uint8_t kReceiver = 2, kSender = 10;
constexpr size_t kShortest = 60;  // shorter ones may be padded to this

class SizesTest : public testing::TestWithParam<std::tuple<Kind, Kind>> {
 protected:
  static void SetUpTestSuite() { (void)own_network(); }
};

std::string name_of_case(const testing::TestParamInfo<std::tuple<Kind, Kind>>& info) {
  return std::string(name_of(std::get<0>(info.param))) + "To" + name_of(std::get<1>(info.param));
}
INSTANTIATE_TEST_SUITE_P(Table, SizesTest, testing::Combine(testing::ValuesIn(kKinds), testing::ValuesIn(kKinds)),
                         name_of_case);

std::vector<size_t> sizes() {
  std::vector<size_t> out{22, 59, 60, 61, 64, 9000, 9014, 9018};
  for (size_t edge : {1514, 2048, 2112, 4096, 4224, 16384, 32768})
    for (size_t header : {0, 10, 12})
      for (int d : {-1, 0, 1}) out.push_back(edge - header + size_t(d));
  for (size_t longest : {65534, 65535, 65549, 65557}) out.push_back(longest);
  return out;
}

// The losses of all ports, of all causes.
uint64_t all_lost() {
  EXPECT_EQ(run("unetmap stats --json"), 0) << said;
  uint64_t sum = 0;
  for (size_t at = 0; (at = said.find("\"lost_", at)) != std::string::npos; at++)
    sum += strtoull(said.c_str() + said.find(':', at) + 1, nullptr, 10);
  return sum;
}

TEST_P(SizesTest, WholeOrLostAndCounted) {
  const auto [sender, receiver] = GetParam();
  const bool taps = sender == Kind::kTap || receiver == Kind::kTap;
  if (taps && !own_network()) GTEST_SKIP() << "takes root and /dev/net/tun, for taps";
  const bool datagrams = sender == Kind::kDgram || receiver == Kind::kDgram;
  auto to = make(receiver, "valeS:sto", {.lossless = true}), from = make(sender, "valeS:sfrom");
  ASSERT_TRUE(introduce(*to, kReceiver, *from));
  ASSERT_TRUE(introduce(*from, kSender, *to));
  uint64_t number = 0, known = all_lost();
  for (size_t bytes : sizes()) {
    SCOPED_TRACE(bytes);
    if (datagrams && bytes > 65535) continue;  // more than a datagram can hold
    Bytes frame = vm::frame_from_to(kSender, kReceiver, ++number, std::max<size_t>(bytes, 22)),
          mark = vm::frame_from_to(kSender, kReceiver, ++number);
    bool taken = true;
    ASSERT_TRUE(eventually([&] {
      errno = 0;
      size_t n = from->put({&frame, 1});
      taken = n == 1 || errno != EMSGSIZE;  // what is longer than its interface's MTU the kernel refuses
      return n == 1 || !taken;
    }));
    ASSERT_TRUE(from->put_all({&mark, 1}));
    bool came = false, marked = false;
    ASSERT_TRUE(eventually([&] {
      from->wait();
      for (Bytes& got : to->get()) {
        if (got.size() < 22 || got[5] != kReceiver || got[11] != kSender) continue;
        if (got == mark) {
          marked = true;
          continue;
        }
        if (frame.size() < kShortest && got.size() == kShortest) got.resize(frame.size());
        EXPECT_EQ(got.size(), frame.size());
        EXPECT_TRUE(got == frame) << "not what was sent";
        came = true;
      }
      return marked;
    })) << "not even what follows it comes";
    if (!came && taken) {
      const uint64_t now = all_lost();
      EXPECT_GT(now, known) << "lost without a word";
      known = now;
    }
    EXPECT_TRUE(came || !taken || bytes > 9014) << "all ports take such frames";
    if (HasFailure()) return;
  }
  // Both sides count frames, whatever headers their ports have before them.
  if (all_lost() > 0 || (sender == Kind::kNeighbour && receiver == Kind::kNeighbour)) return;
  EXPECT_EQ(counter_of(from->counted(), "tx", "bytes"), counter_of(to->counted(), "rx", "bytes"));
}

const testing::Environment* const own_daemon = testing::AddGlobalTestEnvironment(new OwnDaemon);

}  // namespace
