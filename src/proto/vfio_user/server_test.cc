// SPDX-License-Identifier: BSD-2-Clause
#include "proto/vfio_user/server.hh"

#include <map>

#include "base/bell.hh"
#include "proto/vfio_user/test_client.hh"

namespace unetmap::vfio_user {
namespace {

constexpr uint64_t kMiB = 1 << 20;

// Remembers what it is told: BAR 0 of 64 bytes of memory, a configuration space, an INTx and two vectors.
class TestDevice final : public Device {
 public:
  uint64_t region_bytes(uint32_t region) const override {
    return region == kBar0 ? sizeof bar : region == kConfig ? 256 : 0;
  }
  uint32_t irqs(uint32_t index) const override { return index == kMsix ? 2 : index == kIntx || index == kErr ? 1 : 0; }
  void region_read(uint32_t region, uint64_t offset, std::span<uint8_t> to) override {
    for (uint8_t& byte : to) byte = region == kBar0 ? bar[offset++] : uint8_t(offset++);
  }
  void region_write(uint32_t region, uint64_t offset, std::span<const uint8_t> from) override {
    if (region == kBar0) memcpy(bar + offset, from.data(), from.size());
    order += char('0' + from[0]);
  }
  void reset() override { resets++; }
  void memory_changed() override { memory_changes++; }
  void unmask_fd_closing() override { watched = -1; }
  void unmask_fd_changed() override { watched = server->unmask_fd(); }

  Server* server = nullptr;
  uint8_t bar[64] = {};
  std::string order;
  int resets = 0, memory_changes = 0, watched = -1;
};

class VfioUserServer : public testing::Test {
 protected:
  VfioUserServer() {
    int pair[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    client.emplace(UniqueFd(pair[0]));
    connection.emplace(UniqueFd(pair[1]));
    device.server = &server;
  }
  // Until nothing more is there; the error that ended it, if one did.
  Error serve() {
    for (;;) {
      auto request = connection->receive();
      if (!request) return request.error();
      if (!*request) return {0, ""};
      auto answer = server.handle(std::move(**request), reply);
      if (!answer) return answer.error();
      if (!*answer) continue;
      EXPECT_TRUE(connection->send(reply));
    }
  }
  void agree() {
    client->send(Command::kVersion, TestClient::bytes_of(Version{0, 0}));
    EXPECT_EQ(serve().code, 0);
    client->answer();
  }
  TestClient::Answer ask(Command command, const std::string& payload = {}, const std::vector<int>& fds = {}) {
    client->send(command, payload, fds);
    Error error = serve();
    EXPECT_EQ(error.code, 0) << error.text;
    if (error.code != 0) return {};
    auto answer = client->answer();
    EXPECT_EQ(answer.header.id, client->last_id());
    EXPECT_EQ(answer.header.command, uint16_t(command));
    EXPECT_FALSE(client->has_answer());
    return answer;
  }
  template <class T>
  TestClient::Answer ask_value(Command command, const T& value, const std::vector<int>& fds = {}) {
    return ask(command, TestClient::bytes_of(value), fds);
  }
  uint32_t irqs(uint32_t index, uint32_t start, uint32_t count, uint32_t flags, const std::vector<int>& fds = {},
                const std::string& data = {}) {
    SetIrqs asked{uint32_t(sizeof asked + data.size()), flags, index, start, count};
    return ask(Command::kSetIrqs, TestClient::bytes_of(asked) + data, fds).error();
  }
  uint32_t map(uint64_t address, uint64_t size, uint32_t flags, const std::vector<int>& fds, uint64_t offset = 0) {
    return ask_value(Command::kDmaMap, DmaMap{sizeof(DmaMap), flags, offset, address, size}, fds).error();
  }
  uint32_t unmap(uint64_t address, uint64_t size, uint32_t flags = 0) {
    return ask_value(Command::kDmaUnmap, DmaUnmap{sizeof(DmaUnmap), flags, address, size}).error();
  }
  uint32_t read(uint32_t region, uint64_t offset, uint32_t count) {
    return ask_value(Command::kRegionRead, RegionAccess{offset, region, count}).error();
  }

  TestDevice device;
  Server server{device};
  Reply reply;
  std::optional<Connection> connection;
  std::optional<TestClient> client;
};

TEST_F(VfioUserServer, AgreesOnTheVersionAndOnlyOnWhatTheClientKnows) {
  const std::string theirs = R"({"capabilities":{"max_msg_fds":16,"write_multiple":true,"colour":"red"}})";
  auto answer = ask(Command::kVersion, TestClient::bytes_of(Version{0, 1}) + theirs + '\0');
  auto version = answer.as<Version>();
  EXPECT_EQ(version.major, 0);
  EXPECT_EQ(version.minor, 0);
  EXPECT_EQ(answer.payload.back(), '\0');
  EXPECT_STREQ(answer.payload.data() + sizeof version, R"({"capabilities":{"max_msg_fds":16,"write_multiple":true}})");
}

TEST_F(VfioUserServer, ConnectionEndsOnAnotherProtocol) {
  struct Case {
    Command command;
    std::string payload;
    const char* why;
  };
  const std::string version = TestClient::bytes_of(Version{0, 0});
  const Case cases[] = {
      {Command::kVersion, TestClient::bytes_of(Version{1, 0}), "1.0 is spoken there"},
      {Command::kVersion, version + "{}", "its text has no end"},
      {Command::kVersion, version + "[]" + '\0', "its text is no JSON object"},
      {Command::kVersion, version + "{" + '\0', "its text is no JSON object"},
      {Command::kReset, "", "comes before a VERSION"},
      {Command::kVersion, "x", "1 bytes of payload, not 4 to 4100"},  // after which nothing is read
  };
  for (const Case& each : cases) {
    client->send(each.command, each.payload);
    Error error = serve();
    EXPECT_EQ(error.code, EPROTO);
    EXPECT_NE(error.text.find(each.why), std::string::npos) << error.text;
    EXPECT_FALSE(client->has_answer());
  }
}

TEST_F(VfioUserServer, ConnectionEndsOnSizesThatCannotBe) {
  struct Case {
    Command command;
    size_t bytes, fds;
    uint32_t flags;
  };
  const Case cases[] = {{Command::kDmaMap, 31, 0, 0},      {Command::kDmaMap, 33, 0, 0},
                        {Command::kDmaUnmap, 16, 0, 0},    {Command::kReset, 1, 0, 0},
                        {Command::kRegionRead, 17, 0, 0},  {Command::kSetIrqs, 100, 0, 0},
                        {Command::kRegionWrite, 15, 0, 0}, {Command(99), 5000, 0, 0},
                        {Command::kDmaMap, 32, 2, 0},      {Command::kReset, 0, 1, 0},
                        {Command::kSetIrqs, 20, 17, 0},    {Command::kReset, 0, 0, kReply},
                        {Command::kReset, 0, 0, 0x100},    {Command::kRegionWriteMulti, 8 + 24, 0, 0}};
  UniqueFd event(eventfd(0, EFD_CLOEXEC));
  for (const Case& each : cases) {
    int pair[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    client.emplace(UniqueFd(pair[0]));
    connection.emplace(UniqueFd(pair[1]));
    server.disconnected();
    agree();
    client->send(each.command, std::string(each.bytes, '\0'), std::vector<int>(each.fds, event.get()), each.flags);
    EXPECT_EQ(serve().code, EPROTO) << uint16_t(each.command) << ' ' << each.bytes << ' ' << each.fds;
  }
}

// A message that comes in pieces is one, and descriptors stay with the message they were sent with.
TEST_F(VfioUserServer, TakesMessagesInPiecesAndInHeaps) {
  agree();
  UniqueFd a = test_memfd(kMiB), b = test_memfd(kMiB);
  ASSERT_EQ(pwrite(b.get(), "b", 1, 0), 1);
  client->send(Command::kDmaMap, TestClient::bytes_of(DmaMap{32, 3, 0, 8 * kMiB, kMiB}));  // without one
  client->send(Command::kDmaMap, TestClient::bytes_of(DmaMap{32, 3, 0, 0, kMiB}), {a.get()});
  client->send(Command::kDmaMap, TestClient::bytes_of(DmaMap{32, 3, 0, kMiB, kMiB}), {b.get()});
  client->send(Command::kDmaUnmap, TestClient::bytes_of(DmaUnmap{24, 0, 0, kMiB}));
  EXPECT_EQ(serve().code, 0);
  for (int i = 0; i < 4; i++) EXPECT_EQ(client->answer().error(), 0u);
  EXPECT_EQ(server.memory().at(0, 1), nullptr);
  ASSERT_NE(server.memory().at(kMiB, 1), nullptr);
  EXPECT_EQ(*server.memory().at(kMiB, 1), 'b');
  EXPECT_EQ(server.memory().at(8 * kMiB, 1), nullptr);

  const std::string payload = TestClient::bytes_of(RegionAccess{0, kBar0, 4});
  Header header{7, uint16_t(Command::kRegionRead), uint32_t(sizeof header + payload.size()), 0, 0};
  const std::string whole = TestClient::bytes_of(header) + payload;
  for (char byte : whole) {
    EXPECT_FALSE(client->has_answer());
    client->send_raw(&byte, 1);
    EXPECT_EQ(serve().code, 0);
  }
  EXPECT_EQ(client->answer().header.id, 7);
}

TEST_F(VfioUserServer, TellsWhatTheDeviceIs) {
  agree();
  auto info = ask_value(Command::kGetInfo, DeviceInfo{16, 0, 0, 0}).as<DeviceInfo>();
  EXPECT_EQ(info.flags, kCanReset | kPci);
  EXPECT_EQ(info.regions, 9u);
  EXPECT_EQ(info.irqs, 5u);
  EXPECT_EQ(ask_value(Command::kGetInfo, DeviceInfo{15, 0, 0, 0}).error(), uint32_t(EINVAL));
  auto region = ask_value(Command::kGetRegionInfo, RegionInfo{32, 0, kBar0, 0, 0, 0}).as<RegionInfo>();
  EXPECT_EQ(region.flags, kRegionReadable | kRegionWriteable);  // and nothing to map: writes stay posted
  EXPECT_EQ(region.size, 64u);
  region = ask_value(Command::kGetRegionInfo, RegionInfo{32, 0, kVga, 0, 0, 0}).as<RegionInfo>();
  EXPECT_EQ(region.size, 0u);
  EXPECT_EQ(region.flags, 0u);
  EXPECT_EQ(ask_value(Command::kGetRegionInfo, RegionInfo{32, 0, 9, 0, 0, 0}).error(), uint32_t(EINVAL));
  EXPECT_EQ(ask_value(Command::kGetIrqInfo, IrqInfo{16, 0, kIntx, 0}).as<IrqInfo>().flags,
            kIrqEventfd | kIrqMaskable | kIrqAutomasked);
  EXPECT_EQ(ask_value(Command::kGetIrqInfo, IrqInfo{16, 0, kMsix, 0}).as<IrqInfo>().count, 2u);
  EXPECT_EQ(ask_value(Command::kGetIrqInfo, IrqInfo{16, 0, 5, 0}).error(), uint32_t(EINVAL));
  EXPECT_EQ(ask(Command::kReset).error(), 0u);
  EXPECT_EQ(device.resets, 1);
  // Of a later version: refused, and the connection stays.
  EXPECT_EQ(ask(Command(16), std::string(24, '\0')).error(), uint32_t(ENOTSUP));
  EXPECT_EQ(ask(Command::kGetRegionIoFds, std::string(16, '\0')).error(), uint32_t(ENOTSUP));
}

TEST_F(VfioUserServer, ReadsAndWritesWithinRegionsOnly) {
  agree();
  auto write = TestClient::bytes_of(RegionAccess{8, kBar0, 4}) + "\x01\x02\x03\x04";
  EXPECT_EQ(ask(Command::kRegionWrite, write).as<RegionAccess>().count, 4u);
  auto answer = ask_value(Command::kRegionRead, RegionAccess{6, kBar0, 8});
  EXPECT_EQ(answer.payload.substr(sizeof(RegionAccess)), std::string("\0\0\x01\x02\x03\x04\0\0", 8));
  EXPECT_EQ(ask_value(Command::kRegionRead, RegionAccess{0, kConfig, 256}).payload.size(), 16u + 256);
  struct {
    uint32_t region;
    uint64_t offset;
    uint32_t count;
  } outside[] = {{kBar0, 64, 1},   {kBar0, 61, 4},         {kBar0, UINT64_MAX, 1}, {kBar0, UINT64_MAX - 3, 4},
                 {kBar0, 0, 0},    {kBar0, 0, UINT32_MAX}, {kConfig, 0, 257},      {kBar1, 0, 1},
                 {kRegions, 0, 1}, {UINT32_MAX, 0, 1}};
  for (auto& each : outside) EXPECT_EQ(read(each.region, each.offset, each.count), uint32_t(EINVAL)) << each.offset;
  // Posted: no answer, not even where it fails.
  client->send(Command::kRegionWrite, write, {}, kNoReply);
  client->send(Command::kRegionWrite, TestClient::bytes_of(RegionAccess{64, kBar0, 1}) + "x", {}, kNoReply);
  EXPECT_EQ(serve().code, 0);
  EXPECT_FALSE(client->has_answer());
  EXPECT_EQ(server.counters().writes, 2u);
  EXPECT_EQ(server.counters().reads, 2u - 1);  // the configuration space is not counted
  EXPECT_EQ(server.counters().refused, 11u);
}

TEST_F(VfioUserServer, WritesManyInOrder) {
  agree();
  std::string many = TestClient::bytes_of(uint64_t{3});
  for (uint8_t i = 1; i <= 3; i++) many += TestClient::bytes_of(SmallWrite{uint64_t(4 * i), kBar0, 4, {i}});
  EXPECT_EQ(ask(Command::kRegionWriteMulti, many).error(), 0u);
  EXPECT_EQ(device.order, "123");
  EXPECT_EQ(device.bar[12], 3);
  std::string bad = TestClient::bytes_of(uint64_t{2}) + TestClient::bytes_of(SmallWrite{0, kBar0, 9, {4}}) +
                    TestClient::bytes_of(SmallWrite{0, kBar0, 1, {5}});
  EXPECT_EQ(ask(Command::kRegionWriteMulti, bad).error(), uint32_t(EINVAL));
  EXPECT_EQ(device.order, "123");
}

TEST_F(VfioUserServer, MapsMemoryByItsRules) {
  agree();
  UniqueFd file = test_memfd(4 * kMiB);
  EXPECT_EQ(map(0, kMiB, 3, {file.get()}), 0u);
  EXPECT_TRUE(server.memory_is_shared());
  EXPECT_EQ(map(kMiB / 2, kMiB, 3, {file.get()}), uint32_t(EEXIST));
  EXPECT_EQ(map(kMiB / 2, kMiB, 3, {}), uint32_t(EEXIST));
  EXPECT_EQ(map(2 * kMiB, 0, 3, {file.get()}), uint32_t(EINVAL));
  EXPECT_EQ(map(UINT64_MAX, kMiB, 3, {file.get()}), uint32_t(EINVAL));
  EXPECT_EQ(map(2 * kMiB, kMiB, 0, {file.get()}), uint32_t(EINVAL));
  EXPECT_EQ(map(2 * kMiB, kMiB, 7, {file.get()}), uint32_t(EINVAL));
  EXPECT_EQ(map(2 * kMiB, kMiB, 3, {file.get()}, 4 * kMiB), uint32_t(EINVAL));  // beyond the file
  UniqueFd event(eventfd(0, EFD_CLOEXEC));
  EXPECT_EQ(map(2 * kMiB, kMiB, 3, {event.get()}), uint32_t(EINVAL));
  EXPECT_EQ(server.maps(), 1u);
  EXPECT_EQ(map(2 * kMiB, kMiB, 3, {file.get()}, kMiB), 0u);
  EXPECT_EQ(map(8 * kMiB, kMiB, 1, {}), 0u);
  EXPECT_EQ(server.maps(), 3u);
  EXPECT_EQ(server.memory().regions(), 2u);
  EXPECT_EQ(server.memory().at(8 * kMiB, 1), nullptr);

  EXPECT_EQ(unmap(4 * kMiB, kMiB), uint32_t(ENOENT));
  EXPECT_EQ(unmap(0, kMiB / 2), uint32_t(EINVAL));
  EXPECT_EQ(unmap(0, 0), uint32_t(EINVAL));
  EXPECT_EQ(unmap(UINT64_MAX, 2), uint32_t(EINVAL));
  EXPECT_EQ(unmap(0, kMiB, 1), uint32_t(EINVAL));  // the log of written pages belongs to no version of the protocol
  const int changes = device.memory_changes;
  EXPECT_EQ(unmap(0, kMiB), 0u);
  EXPECT_GT(device.memory_changes, changes);
  EXPECT_EQ(server.memory().at(0, 1), nullptr);
  EXPECT_EQ(unmap(0, 16 * kMiB), 0u);  // covers two
  EXPECT_EQ(server.maps(), 0u);
  EXPECT_EQ(map(0, kMiB, 3, {file.get()}), 0u);
  EXPECT_EQ(unmap(0, 0, kUnmapAll), 0u);
  EXPECT_EQ(server.maps() + server.memory().regions(), 0u);
}

TEST_F(VfioUserServer, MemoryEndsSomewhere) {
  agree();
  UniqueFd file = test_memfd(kMiB);
  for (uint64_t i = 0; i < guest::GuestMemory::kMaxRegions; i++) ASSERT_EQ(map(i << 30, kMiB, 3, {file.get()}), 0u);
  EXPECT_EQ(map(1ull << 60, kMiB, 3, {file.get()}), uint32_t(ENOSPC));
  uint64_t unreachable = 0;
  while (unreachable < 4096 && map((1ull << 60) + (unreachable << 30), kMiB, 3, {}) == 0) unreachable++;
  EXPECT_EQ(unreachable, 1024u - 128);
}

TEST_F(VfioUserServer, GuestsWithoutSharedMemoryAreSeen) {
  agree();
  EXPECT_EQ(map(0, kMiB, 3, {}), 0u);
  EXPECT_FALSE(server.memory_is_shared());
}

// A device that is told to write to memory that it may only read writes to nobody's.
TEST_F(VfioUserServer, MemoryToReadIsNotWritten) {
  agree();
  UniqueFd file = test_memfd(kMiB);
  ASSERT_EQ(pwrite(file.get(), "rom", 3, 0), 3);
  UniqueFd reader(open(("/proc/self/fd/" + std::to_string(file.get())).c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(map(0, kMiB, kMapReadable, {reader.get()}), 0u);
  uint8_t* at = server.memory().at(0, 3);
  ASSERT_NE(at, nullptr);
  EXPECT_EQ(memcmp(at, "rom", 3), 0);
  at[0] = 'x';
  char now[3];
  ASSERT_EQ(pread(file.get(), now, sizeof now, 0), 3);
  EXPECT_EQ(memcmp(now, "rom", 3), 0);
  // What is said to be writeable has to be.
  EXPECT_NE(map(2 * kMiB, kMiB, 3, {reader.get()}), 0u);
}

TEST_F(VfioUserServer, IntxIsALevel) {
  agree();
  UniqueFd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  server.set_intx(true);  // nobody listens yet
  EXPECT_EQ(irqs(kIntx, 0, 1, kDataEventfd | kActionTrigger, {event.get()}), 0u);
  EXPECT_EQ(events(event.get()), 1u);  // and hears of it now
  server.set_intx(true);
  EXPECT_EQ(events(event.get()), 0u);  // masked by itself
  EXPECT_EQ(irqs(kIntx, 0, 1, kDataNone | kActionUnmask), 0u);
  EXPECT_EQ(events(event.get()), 1u);  // still asserted
  server.set_intx(false);
  EXPECT_EQ(irqs(kIntx, 0, 1, kDataBool | kActionUnmask, {}, std::string(1, '\x01')), 0u);
  EXPECT_EQ(events(event.get()), 0u);
  server.set_intx(true);
  EXPECT_EQ(events(event.get()), 1u);
  EXPECT_EQ(irqs(kIntx, 0, 1, kDataNone | kActionUnmask), 0u);
  EXPECT_EQ(irqs(kIntx, 0, 1, kDataNone | kActionMask), 0u);
  EXPECT_EQ(events(event.get()), 1u);
  server.set_intx(false);
  server.set_intx(true);
  EXPECT_EQ(events(event.get()), 0u);
  EXPECT_EQ(irqs(kIntx, 0, 1, kDataBool | kActionUnmask, {}, std::string(1, '\0')), 0u);
  EXPECT_EQ(events(event.get()), 0u);  // not meant
  EXPECT_EQ(irqs(kIntx, 0, 1, kDataNone | kActionTrigger), 0u);
  EXPECT_EQ(events(event.get()), 1u);  // the client tries it out
  // Both ways to let go.
  EXPECT_EQ(irqs(kIntx, 0, 1, kDataEventfd | kActionTrigger), 0u);
  EXPECT_EQ(irqs(kIntx, 0, 1, kDataNone | kActionUnmask), 0u);
  EXPECT_EQ(irqs(kIntx, 0, 1, kDataEventfd | kActionTrigger, {event.get()}), 0u);
  EXPECT_EQ(events(event.get()), 1u);
  EXPECT_EQ(irqs(kIntx, 0, 0, kDataNone | kActionTrigger), 0u);
  server.set_intx(true);
  EXPECT_EQ(events(event.get()), 0u);
}

// QEMU looks at the eventfd when its main loop comes round. By then the guest may have read the cause, and a line that is asserted
// after that would stay so until it is in the registers again.
TEST_F(VfioUserServer, IntxThatFellBeforeTheClientLookedIsTakenBack) {
  agree();
  UniqueFd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  EXPECT_EQ(irqs(kIntx, 0, 1, kDataEventfd | kActionTrigger, {event.get()}), 0u);
  server.set_intx(true);
  server.set_intx(false);
  EXPECT_EQ(events(event.get()), 0u);
  EXPECT_EQ(server.counters().interrupts, 0u);
  server.set_intx(true);  // not masked, since nobody was told
  EXPECT_EQ(events(event.get()), 1u);
  // The client has looked: its unmasking is waited for.
  server.set_intx(false);
  server.set_intx(true);
  EXPECT_EQ(events(event.get()), 0u);
  EXPECT_EQ(server.counters().interrupts, 1u);
  EXPECT_EQ(irqs(kIntx, 0, 1, kDataNone | kActionUnmask), 0u);
  EXPECT_EQ(events(event.get()), 1u);
  // A mask of the client's stays one.
  EXPECT_EQ(irqs(kIntx, 0, 1, kDataNone | kActionUnmask), 0u);
  EXPECT_EQ(irqs(kIntx, 0, 1, kDataNone | kActionMask), 0u);
  server.set_intx(false);
  server.set_intx(true);
  EXPECT_EQ(events(event.get()), 1u);
}

TEST_F(VfioUserServer, IntxIsUnmaskedByAnEvent) {
  agree();
  UniqueFd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), unmask(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  EXPECT_EQ(irqs(kIntx, 0, 1, kDataEventfd | kActionTrigger, {event.get()}), 0u);
  EXPECT_EQ(irqs(kIntx, 0, 1, kDataEventfd | kActionUnmask, {unmask.get()}), 0u);
  ASSERT_GE(device.watched, 0);
  server.set_intx(true);
  EXPECT_EQ(events(event.get()), 1u);
  server.unmask_intx();
  EXPECT_EQ(events(event.get()), 1u);
  EXPECT_EQ(irqs(kIntx, 0, 0, kDataNone | kActionTrigger), 0u);
  EXPECT_EQ(device.watched, -1);
  EXPECT_EQ(irqs(kIntx, 0, 1, kDataEventfd | kActionMask, {unmask.get()}), uint32_t(ENOTSUP));
}

TEST_F(VfioUserServer, VectorsAreEvents) {
  agree();
  UniqueFd a(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), b(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  EXPECT_FALSE(server.signal(0));
  EXPECT_EQ(irqs(kMsix, 0, 2, kDataEventfd | kActionTrigger, {a.get(), b.get()}), 0u);
  EXPECT_TRUE(server.msix_enabled());
  EXPECT_TRUE(server.signal(1));
  EXPECT_EQ(events(a.get()), 0u);
  EXPECT_EQ(events(b.get()), 1u);
  EXPECT_FALSE(server.signal(2));
  EXPECT_FALSE(server.signal(UINT32_MAX));
  EXPECT_EQ(irqs(kMsix, 0, 2, kDataBool | kActionTrigger, {}, std::string("\x01\0", 2)), 0u);
  EXPECT_EQ(events(a.get()), 1u);
  EXPECT_EQ(events(b.get()), 0u);
  EXPECT_EQ(irqs(kMsix, 1, 1, kDataEventfd | kActionTrigger), 0u);
  EXPECT_FALSE(server.signal(1));
  EXPECT_TRUE(server.msix_enabled());
  EXPECT_EQ(irqs(kMsix, 0, 0, kDataNone | kActionTrigger), 0u);
  EXPECT_FALSE(server.msix_enabled());
}

// Whether it blocks is the client's, who shares the flag.
TEST_F(VfioUserServer, AnEventfdThatIsFullAndBlocksIsLetGoOf) {
  agree();
  prepare_bells();
  UniqueFd full(eventfd(0, EFD_CLOEXEC));
  const uint64_t most = UINT64_MAX - 1;
  ASSERT_EQ(write(full.get(), &most, sizeof most), ssize_t(sizeof most));
  const int flags = fcntl(full.get(), F_GETFL);
  EXPECT_EQ(irqs(kMsix, 0, 1, kDataEventfd | kActionTrigger, {full.get()}), 0u);
  EXPECT_EQ(fcntl(full.get(), F_GETFL), flags);
  EXPECT_TRUE(server.signal(0));
  EXPECT_FALSE(server.signal(0));
  EXPECT_FALSE(server.msix_enabled());
  EXPECT_EQ(fcntl(full.get(), F_GETFL), flags);
}

TEST_F(VfioUserServer, RefusesInterruptsThatCannotBe) {
  agree();
  UniqueFd event(eventfd(0, EFD_CLOEXEC)), file = test_memfd(4096);
  const int fd = event.get();
  struct {
    uint32_t index, start, count, flags;
    std::vector<int> fds;
    uint32_t error;
  } cases[] = {
      {5, 0, 1, 36, {fd}, EINVAL},
      {kIntx, 1, 1, 36, {fd}, EINVAL},
      {kIntx, 0, 2, 36, {fd, fd}, EINVAL},
      {kIntx, UINT32_MAX, 2, 36, {fd, fd}, EINVAL},
      {kMsix, 0, UINT32_MAX, 36, {}, EINVAL},
      {kMsi, 0, 1, 36, {fd}, EINVAL},
      {kMsix, 0, 2, 36, {fd}, EINVAL},
      {kMsix, 0, 1, 36, {fd, fd}, EINVAL},
      {kIntx, 0, 1, 33, {fd}, EINVAL},
      {kIntx, 0, 1, 32, {}, EINVAL},
      {kIntx, 0, 1, 4, {fd}, EINVAL},
      {kIntx, 0, 1, 39, {fd}, EINVAL},
      {kIntx, 0, 1, 60, {fd}, EINVAL},
      {kIntx, 0, 1, 36 | 64, {fd}, EINVAL},
      {kIntx, 0, 1, 36, {file.get()}, EINVAL},
      {kIntx, 0, 1, 34, {}, EINVAL},
      {kIntx, 0, 0, 36, {}, EINVAL},
      {kMsix, 0, 1, 9, {}, ENOTSUP},
  };
  for (auto& each : cases)
    EXPECT_EQ(irqs(each.index, each.start, each.count, each.flags, each.fds), each.error)
        << each.index << ' ' << each.start << ' ' << each.count << ' ' << each.flags;
}

TEST_F(VfioUserServer, LetsGoOfEverythingAtTheEnd) {
  auto open_descriptors = [] {
    size_t count = 0;
    for (int fd = 0; fd < 1024; fd++) count += fcntl(fd, F_GETFD) >= 0;
    return count;
  };
  agree();
  UniqueFd file = test_memfd(kMiB), event(eventfd(0, EFD_CLOEXEC));
  const size_t before = open_descriptors();
  EXPECT_EQ(map(0, kMiB, 3, {file.get()}), 0u);
  EXPECT_EQ(irqs(kIntx, 0, 1, kDataEventfd | kActionTrigger, {event.get()}), 0u);
  EXPECT_EQ(irqs(kIntx, 0, 1, kDataEventfd | kActionUnmask, {event.get()}), 0u);
  EXPECT_EQ(irqs(kMsix, 0, 2, kDataEventfd | kActionTrigger, {event.get(), event.get()}), 0u);
  EXPECT_EQ(open_descriptors(), before + 4);
  server.disconnected();
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_EQ(server.memory().regions(), 0u);
  client->send(Command::kReset);
  EXPECT_EQ(serve().code, EPROTO);  // from the beginning
}

}  // namespace
}  // namespace unetmap::vfio_user
