// SPDX-License-Identifier: BSD-2-Clause
// Frames of every size that an interface may have, at its queues and its host rings, however it is bound: whole, or
// lost and counted.
#include "nic_fixture.hh"

namespace {

using namespace nic_fixture;

constexpr uint32_t kMtu = 9000;

uint64_t known_lost = 0;  // by the daemon of the test

class NicSizesTest : public NicTest, public testing::WithParamInterface<const char*> {
  void SetUp() override {
    known_lost = 0;
    begin(GetParam(), "mtu " + std::to_string(kMtu));
  }
};
INSTANTIATE_TEST_SUITE_P(Modes, NicSizesTest, testing::Values("packet", "generic", "auto"));

std::vector<size_t> sizes() {
  std::vector<size_t> out{60, 1514, 1515, 9000, kMtu + 14};
  for (size_t edge : {2048, 3520, 4096, 6144, 8192})
    for (int d : {-1, 0, 1}) out.push_back(edge + size_t(d));
  return out;
}

uint64_t all_lost() {
  uint64_t sum = 0;
  std::string said = output("unetmap stats --json");
  for (size_t at = 0; (at = said.find("\"lost_", at)) != std::string::npos; at++)
    sum += strtoull(said.c_str() + said.find(':', at) + 1, nullptr, 10);
  return sum;
}

// Sends a frame by `put`, and a short one behind it: what comes before that one is whole, or the loss is counted.
template <class Put, class Get>
void cross(size_t bytes, Put&& put, Get&& get) {
  static uint32_t number = 0;
  const std::string frame = a_frame(++number, bytes), mark = a_frame(++number, 60);
  if (!put(frame)) return;  // the kernel told its sender
  ASSERT_TRUE(put(mark));
  auto got = get();
  ASSERT_TRUE(got) << "neither it nor what follows it comes";
  if (*got == mark) {
    const uint64_t now = all_lost();
    EXPECT_GT(now, known_lost) << "lost without a word";
    known_lost = now;
    return;
  }
  EXPECT_EQ(got->size(), frame.size());
  EXPECT_TRUE(*got == frame) << "not what was sent";
  EXPECT_EQ(get(), mark);
}

bool send_in_slots(const Port& port, const std::string& frame) {
  netmap_ring* ring = port.tx(port->first_tx_ring);
  const size_t room = ring->nr_buf_size;
  while (nm_ring_space(ring) < frame.size() / room + 1)
    if (!port.wait(POLLOUT)) return false;
  for (size_t at = 0; at < frame.size(); at += room)
    if (!port.queue(frame.substr(at, room), port->first_tx_ring, at + room < frame.size() ? NS_MOREFRAG : 0))
      return false;
  return ioctl(port.fd(), NIOCTXSYNC, nullptr) == 0;
}

TEST_P(NicSizesTest, FromAndToTheWire) {
  UniqueFd far = raw_socket("um1");
  Port port("netmap:um0");
  ASSERT_TRUE(port) << daemon->log();
  for (size_t bytes : sizes()) {
    SCOPED_TRACE(bytes);
    cross(
        bytes, [&](const std::string& f) { return put(far.get(), f); }, [&] { return port.receive(); });
    cross(
        bytes, [&](const std::string& f) { return send_in_slots(port, f); }, [&] { return next_frame(far.get()); });
    if (HasFatalFailure()) return;
  }
}

// The wire's other end takes shorter ones than the interface: what it does not take is lost, and nothing behind it.
TEST_P(NicSizesTest, TooLongForTheOtherEnd) {
  ASSERT_TRUE(sh("ip link set um1 mtu 1500"));
  UniqueFd far = raw_socket("um1");
  Port port("netmap:um0");
  ASSERT_TRUE(port) << daemon->log();
  const uint64_t before = all_lost();
  for (uint32_t i = 1; i <= 3; i++) {
    ASSERT_TRUE(send_in_slots(port, a_frame(2 * i, 1700)));
    ASSERT_TRUE(send_in_slots(port, a_frame(2 * i + 1, 60)));
  }
  for (uint32_t i = 1; i <= 3; i++) {
    std::optional<std::string> got;
    ASSERT_TRUE(eventually([&] {
      return ioctl(port.fd(), NIOCTXSYNC, nullptr) == 0 && (got = next_frame(far.get(), 0));
    })) << "nothing comes behind it";
    EXPECT_EQ(got, a_frame(2 * i + 1, 60));
  }
  if (GetParam() == std::string("packet")) {
    EXPECT_GT(all_lost(), before) << "lost without a word";
  }
}

TEST_P(NicSizesTest, FromAndToTheHost) {
  UniqueFd host = raw_socket("um0");
  Port port("netmap:um0^");
  ASSERT_TRUE(port) << daemon->log();
  for (size_t bytes : sizes()) {
    SCOPED_TRACE(bytes);
    cross(
        bytes, [&](const std::string& f) { return put(host.get(), f); }, [&] { return port.receive(); });
    cross(
        bytes, [&](const std::string& f) { return send_in_slots(port, f); }, [&] { return next_frame(host.get()); });
    if (HasFatalFailure()) return;
  }
}

// A burst of long ones: those that are shown are whole, each of the others is counted.
TEST_P(NicSizesTest, MoreThanTheRingHolds) {
  UniqueFd host = raw_socket("um0");
  int most = 16 << 20;
  setsockopt(host.get(), SOL_SOCKET, SO_SNDBUFFORCE, &most, sizeof most);
  Port port("netmap:um0^");
  ASSERT_TRUE(port) << daemon->log();
  const uint64_t before = all_lost();
  uint32_t sent = 0;
  for (; sent < 400; sent++)
    if (!put(host.get(), a_frame(100000 + sent, sent % 3 ? kMtu + 14 : 500))) break;
  ASSERT_GT(sent, 100u);
  uint64_t dropped = std::stoull("0" + output("cat /sys/class/net/um0/statistics/tx_dropped"));
  uint32_t got = 0;
  std::string last;
  while (auto frame = port.receive(300)) {
    uint32_t number;
    memcpy(&number, frame->data() + 14, sizeof number);
    ASSERT_GE(number, 100000u);
    ASSERT_EQ(*frame, a_frame(number, (number - 100000) % 3 ? kMtu + 14 : 500));
    got++;
  }
  EXPECT_GT(got, 0u);
  EXPECT_LE(got, sent);
  if (got + dropped < sent) {
    EXPECT_GT(all_lost() + dropped, before) << sent << " sent, " << got << " came";
  }
}

}  // namespace
