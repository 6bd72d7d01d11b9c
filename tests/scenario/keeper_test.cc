// SPDX-License-Identifier: BSD-2-Clause
// Keepers on veth pairs: what they take, hand out and give back, however they end.
#include <gmock/gmock.h>

#include <linux/bpf.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include <fstream>

#include "keeper_net.hh"
#include "wire/fast_table.h"

namespace {

using namespace keeper_net;
using namespace unetmap::wire;
using testing::HasSubstr;

constexpr uint64_t kUmemBytes = 1 << 20;

// The program's own namespace has um0, another one um1, each the other's end, with addresses.
class KeeperTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (geteuid() == 0 && unshare(CLONE_NEWNET) == 0) inside = true;
  }
  void SetUp() override {
    if (!inside) GTEST_SKIP() << "takes root, to make network namespaces";
    far.emplace();
    ASSERT_GT(far->pid(), 0);
    ASSERT_TRUE(sh("ip link set lo up && ip link add um0 type veth peer name um1 netns " + std::to_string(far->pid())));
    ASSERT_TRUE(sh("ip addr add 10.77.0.1/24 dev um0 && ip link set um0 up"));
    ASSERT_TRUE(sh(far->in("ip addr add 10.77.0.2/24 dev um1") + " && " + far->in("ip link set um1 up")));
    folder = std::string(getenv("BUILD_DIR") ? getenv("BUILD_DIR") : ".") + "/bin";
    memfd = UniqueFd(memfd_create("umem", MFD_CLOEXEC));
    ASSERT_EQ(0, ftruncate(memfd.get(), off_t(kUmemBytes + 4096)));
    umem = static_cast<uint8_t*>(mmap(nullptr, kUmemBytes, PROT_READ | PROT_WRITE, MAP_SHARED, memfd.get(), 4096));
  }
  void TearDown() override {
    if (!inside) return;
    munmap(umem, kUmemBytes);
    sh("ip link del um0");
    far.reset();
  }

  struct Kept {
    UniqueFd channel;
    KeeperReply reply;
    std::vector<UniqueFd> fds;
    // Hangs up, and waits until the keeper has undone everything and ended.
    bool close() {
      fds.clear();
      channel.reset();
      return ended();
    }
    bool ended() const {
      UniqueFd process(int(syscall(SYS_pidfd_open, pid_t(reply.pid), 0)));
      pollfd wait{process.get(), POLLIN, 0};
      return !process || poll(&wait, 1, kEvent_ms) == 1;
    }
    std::optional<KeeperEvent> event() const {
      pollfd wait{channel.get(), POLLIN, 0};
      if (poll(&wait, 1, kEvent_ms) <= 0) return {};
      auto got = receive_keeper_message(channel.get());
      if (!got || !std::holds_alternative<KeeperEvent>(got->message)) return {};
      return std::get<KeeperEvent>(got->message);
    }
  };
  Kept ask(const KeeperRequest& request, const std::vector<int>& with = {}) {
    Kept out;
    auto channel = start_keeper(folder);
    EXPECT_TRUE(channel) << channel.error().text;
    if (!channel) return out;
    out.channel = std::move(*channel);
    EXPECT_TRUE(send_keeper(out.channel.get(), request, with));
    auto got = receive_keeper_message(out.channel.get());
    EXPECT_TRUE(got) << got.error().text;
    if (!got) return out;
    out.reply = std::get<KeeperReply>(got->message);
    out.fds = std::move(got->fds);
    return out;
  }
  BindRequest a_bind(NicMode mode, bool host = true) const {
    BindRequest out;
    out.interface = "um0";
    out.mode = mode;
    out.umem = {4096, kUmemBytes, 2048};
    out.rx_slots = out.tx_slots = 64;
    out.host = host;
    return out;
  }
  Kept bind(NicMode mode, bool host = true) { return ask(a_bind(mode, host), {memfd.get()}); }

  // Everything about um0 and this namespace that a keeper could leave changed. Not the machine's list of programs, as
  // others have some as well: one that is at no interface goes with its keeper.
  static std::string state() {
    return output(
        "ethtool -k um0; ip -d link show um0; tc qdisc show; tc filter show dev um0 ingress; tc filter show dev um0 "
        "egress; bpftool net show; ls /sys/class/net; ip -o link | wc -l");
  }
  // The state once it is the one expected, or when it does not become that.
  static std::string settled(const std::string& expected) {
    std::string now;
    eventually([&] { return (now = state()) == expected; }, 50);
    return now;
  }
  bool ping() const { return sh("ping -c 1 -W 5 10.77.0.2"); }

  static inline bool inside = false;
  std::optional<Namespace> far;
  std::string folder;
  UniqueFd memfd;
  uint8_t* umem = nullptr;
};

class KeeperModes : public KeeperTest, public testing::WithParamInterface<NicMode> {};

// Frames for the interface reach the socket, and the stack sees none of them; afterwards it sees all.
TEST_P(KeeperModes, TakesFramesFromTheStackAndGivesThemBack) {
  ASSERT_TRUE(ping());
  std::string before = state();
  Kept kept = bind(GetParam());
  ASSERT_EQ(0, kept.reply.error) << kept.reply.text;
  EXPECT_EQ(GetParam(), kept.reply.mode);
  ASSERT_EQ(2u, kept.fds.size());
  UniqueFd peer = raw_socket_in(*far, "um1");
  if (GetParam() == NicMode::kPacket) {
    ASSERT_TRUE(put(peer.get(), a_frame(7)));
    EXPECT_EQ(a_frame(7), next_frame(kept.fds[0].get()));
    ASSERT_TRUE(put(kept.fds[0].get(), a_frame(8)));
  } else {
    Xsk xsk(kept.fds[0].get(), kept.reply, umem);
    ASSERT_TRUE(xsk.good());
    xsk.fill(0, 32);
    for (uint32_t i = 0; i < 100; i++) {
      ASSERT_TRUE(put(peer.get(), a_frame(i)));
      ASSERT_EQ(a_frame(i), xsk.receive());
      ASSERT_EQ(kUmemHeadroom, xsk.last_address() % 2048);
    }
    ASSERT_TRUE(xsk.transmit(100, a_frame(8)));
  }
  EXPECT_EQ(a_frame(8), next_frame(peer.get()));
  // The neighbour entry is there, so a ping would go out, and an answer come in.
  EXPECT_FALSE(sh("ping -c 1 -W 1 10.77.0.2"));
  EXPECT_FALSE(sh(far->in("ping -c 1 -W 1 10.77.0.1")));
  ASSERT_TRUE(kept.close());
  EXPECT_EQ(before, settled(before));
  EXPECT_TRUE(ping());
}

// What the stack sends is read from the host tap, what is written there it receives: so a ping passes by hand.
TEST_P(KeeperModes, HostTapIsTheStacksSide) {
  Kept kept = bind(GetParam());
  ASSERT_EQ(0, kept.reply.error) << kept.reply.text;
  int nic = kept.fds[0].get(), host = kept.fds[1].get();
  UniqueFd peer = raw_socket_in(*far, "um1");
  UniqueFd stack = raw_socket("um0");
  // Stack to tap: also when it is a packet socket on the interface that sends.
  ASSERT_TRUE(put(stack.get(), a_frame(1)));
  EXPECT_EQ(a_frame(1), next_frame(host));
  EXPECT_TRUE(no_frame(peer.get()));
  // Tap to stack, and neither back to a socket of the wire's nor to the tap: it must not circle.
  for (uint32_t i = 0; i < 50; i++) {
    ASSERT_TRUE(put(host, a_frame(i)));
    EXPECT_EQ(a_frame(i), next_frame(stack.get()));
  }
  EXPECT_TRUE(no_frame(host));
  EXPECT_TRUE(no_frame(stack.get()));
  EXPECT_TRUE(no_frame(peer.get()));
  if (GetParam() == NicMode::kPacket) {
    EXPECT_TRUE(no_frame(nic));
  } else {
    Xsk xsk(nic, kept.reply, umem);
    xsk.fill(0, 32);
    EXPECT_FALSE(xsk.receive(0));
  }
  ASSERT_TRUE(kept.close());
}

// Without a host tap the stack is cut off.
TEST_P(KeeperModes, WithoutHostTheStackIsSilent) {
  Kept kept = bind(GetParam(), false);
  ASSERT_EQ(0, kept.reply.error) << kept.reply.text;
  ASSERT_EQ(1u, kept.fds.size());
  UniqueFd peer = raw_socket_in(*far, "um1"), stack = raw_socket("um0");
  (void)put(stack.get(), a_frame(1));
  if (GetParam() == NicMode::kPacket) {
    ASSERT_TRUE(put(kept.fds[0].get(), a_frame(2)));
  } else {
    Xsk xsk(kept.fds[0].get(), kept.reply, umem);
    ASSERT_TRUE(xsk.transmit(1, a_frame(2)));
  }
  EXPECT_EQ(a_frame(2), next_frame(peer.get()));
  ASSERT_TRUE(kept.close());
}

// A keeper that is killed leaves no program and no tap; offloads stay off, and its reply said which to restore.
TEST_P(KeeperModes, KilledKeeperLeavesOffloadsOnly) {
  std::string before = state();
  Kept kept = bind(GetParam());
  ASSERT_EQ(0, kept.reply.error) << kept.reply.text;
  kill(pid_t(kept.reply.pid), SIGKILL);
  pollfd wait{kept.channel.get(), POLLIN, 0};
  ASSERT_EQ(1, poll(&wait, 1, kEvent_ms));
  ASSERT_TRUE(kept.ended());
  kept.fds.clear();
  EXPECT_FALSE(kept.reply.undo.empty());
  Kept another = ask(RestoreRequest{"um0", kept.reply.ifindex + 1, kept.reply.mac, kept.reply.undo});
  EXPECT_EQ(ENODEV, another.reply.error);
  Kept restored = ask(RestoreRequest{"um0", kept.reply.ifindex, kept.reply.mac, kept.reply.undo});
  EXPECT_EQ(0, restored.reply.error) << restored.reply.text;
  EXPECT_EQ(before, settled(before));
  EXPECT_TRUE(ping());
}

std::string name_of_mode(const testing::TestParamInfo<NicMode>& info) { return mode_name(info.param); }
INSTANTIATE_TEST_SUITE_P(All, KeeperModes, testing::Values(NicMode::kNative, NicMode::kGeneric, NicMode::kPacket),
                         name_of_mode);

TEST_F(KeeperTest, BestModeAndWhyNotABetterOne) {
  Kept kept = bind(NicMode::kAuto);
  ASSERT_EQ(0, kept.reply.error) << kept.reply.text;
  EXPECT_EQ(NicMode::kNative, kept.reply.mode);
  ASSERT_EQ(1u, kept.reply.why.size());
  EXPECT_THAT(kept.reply.why[0], HasSubstr("native-zerocopy: "));
  EXPECT_THAT(kept.reply.why[0], HasSubstr("veth"));
  ASSERT_FALSE(kept.reply.said.empty());
  EXPECT_THAT(kept.reply.said[0], HasSubstr("rx checksum"));
  ASSERT_TRUE(kept.close());
}

TEST_F(KeeperTest, RefusalsNameObjectAndRemedy) {
  auto none = a_bind(NicMode::kAuto);
  none.interface = "um9";
  Kept driven = bind(NicMode::kDriver);
  EXPECT_EQ(EOPNOTSUPP, driven.reply.error);
  EXPECT_THAT(driven.reply.text, HasSubstr("um0: has no device behind it that a driver could drive"));
  Kept missing = ask(none, {memfd.get()});
  EXPECT_EQ(ENODEV, missing.reply.error);
  EXPECT_THAT(missing.reply.text, HasSubstr("bind um9: no such interface"));
  auto queue = a_bind(NicMode::kAuto);
  queue.queues = {77};
  EXPECT_EQ(EINVAL, ask(queue, {memfd.get()}).reply.error);
  auto outside = a_bind(NicMode::kNative);
  outside.umem.bytes = 1 << 30;
  EXPECT_EQ(EINVAL, ask(outside, {memfd.get()}).reply.error);
  EXPECT_NE(0, ask(TapRequest{"um0", {}, true}).reply.error);
  EXPECT_EQ(EOPNOTSUPP, ask(AttachRequest{"lo", false, false, {}}).reply.error);
}

TEST_F(KeeperTest, BoundAndReleasedManyTimes) {
  std::string before = state();
  const NicMode modes[] = {NicMode::kNative, NicMode::kGeneric, NicMode::kPacket, NicMode::kAuto};
  for (int i = 0; i < 200; i++) {
    Kept kept = bind(modes[i % 4], i % 8 < 4);
    ASSERT_EQ(0, kept.reply.error) << kept.reply.text;
    if (i % 3 == 0) kill(pid_t(kept.reply.pid), SIGTERM);
    ASSERT_TRUE(kept.close());
  }
  EXPECT_EQ(before, settled(before));
  EXPECT_TRUE(ping());
}

// The keeper undoes everything when who holds its channel is killed.
TEST_F(KeeperTest, HolderKilled) {
  std::string before = state();
  int told[2];
  ASSERT_EQ(0, pipe(told));
  pid_t holder = fork();
  if (holder == 0) {
    Kept kept = bind(NicMode::kAuto);
    (void)!write(told[1], &kept.reply.pid, sizeof kept.reply.pid);
    for (;;) pause();
  }
  Kept of_holder;
  ASSERT_EQ(ssize_t(sizeof of_holder.reply.pid), read(told[0], &of_holder.reply.pid, sizeof of_holder.reply.pid));
  ASSERT_NE(0u, of_holder.reply.pid);
  EXPECT_NE(before, state());
  kill(holder, SIGKILL);
  waitpid(holder, nullptr, 0);
  ASSERT_TRUE(of_holder.ended());
  EXPECT_EQ(before, settled(before));
  close(told[0]);
  close(told[1]);
}

TEST_F(KeeperTest, TellsWhatHappensToTheInterface) {
  Kept kept = bind(NicMode::kNative);
  ASSERT_EQ(0, kept.reply.error) << kept.reply.text;
  using Kind = KeeperEvent::Kind;
  ASSERT_TRUE(sh("ip link set um0 down"));
  auto down = kept.event();
  ASSERT_TRUE(down);
  EXPECT_EQ(Kind::kDown, down->kind);
  ASSERT_TRUE(sh("ip link set um0 name um0b"));
  auto renamed = kept.event();
  ASSERT_TRUE(renamed);
  EXPECT_EQ(Kind::kRenamed, renamed->kind);
  EXPECT_EQ("um0b", renamed->interface);
  ASSERT_TRUE(sh("ip link set um0b name um0 && ip link set um0 up"));
  ASSERT_TRUE(kept.event());
  auto up = kept.event();
  ASSERT_TRUE(up);
  EXPECT_EQ(Kind::kUp, up->kind);
  if (sh("ethtool -L um0 rx 2 tx 2")) {
    auto queues = kept.event();
    ASSERT_TRUE(queues);
    EXPECT_EQ(Kind::kQueues, queues->kind);
    EXPECT_EQ(2u, queues->queues);
  }
  ASSERT_TRUE(sh("ip link del um0"));
  auto gone = kept.event();
  while (gone && gone->kind != Kind::kGone) gone = kept.event();  // it goes down first
  ASSERT_TRUE(gone);
  int error = 0;
  socklen_t bytes = sizeof error;
  ASSERT_EQ(0, getsockopt(kept.fds[0].get(), SOL_SOCKET, SO_ERROR, &error, &bytes));
  EXPECT_EQ(ENETDOWN, error);
  EXPECT_TRUE(kept.close());
}

// A look at it by name may find that name gone, and the interface with another.
TEST_F(KeeperTest, ManyNamesAreNotTheEndOfAnInterface) {
  Kept kept = bind(NicMode::kNative);
  ASSERT_EQ(0, kept.reply.error) << kept.reply.text;
  using Kind = KeeperEvent::Kind;
  ASSERT_TRUE(sh("ip link set um0 down"));
  UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  constexpr int kTimes = 60;  // as many events as wait without being read
  for (int i = 0; i < kTimes; i++) {
    ifreq request{};
    snprintf(request.ifr_name, IFNAMSIZ, "%s", i % 2 ? "um0b" : "um0");
    snprintf(request.ifr_newname, IFNAMSIZ, "%s", i % 2 ? "um0" : "um0b");
    ASSERT_EQ(0, ioctl(socket.get(), SIOCSIFNAME, &request)) << strerror(errno);
  }
  ASSERT_TRUE(sh("ip link set um0 up"));
  auto event = kept.event();
  while (event && event->kind != Kind::kUp && event->kind != Kind::kGone) event = kept.event();
  ASSERT_TRUE(event);
  EXPECT_EQ(Kind::kUp, event->kind) << event->text;
  EXPECT_TRUE(kept.close());
}

// The far end's namespace goes, and with it both ends of the pair.
TEST_F(KeeperTest, NamespaceDeleted) {
  Kept kept = bind(NicMode::kAuto), attached;
  ASSERT_EQ(0, kept.reply.error) << kept.reply.text;
  far->remove();
  auto gone = kept.event();
  while (gone && gone->kind != KeeperEvent::Kind::kGone) gone = kept.event();
  ASSERT_TRUE(gone);
  EXPECT_TRUE(kept.close());
  EXPECT_THAT(output("ip -o link"), testing::Not(HasSubstr("unm")));
}

TEST_F(KeeperTest, ManyQueuesEachWithASocket) {
  if (!sh("ethtool -L um0 rx 2 tx 2 && " + far->in("ethtool -L um1 rx 2 tx 2")))
    GTEST_SKIP() << "no second queue to be had";
  Kept kept = bind(NicMode::kNative);
  ASSERT_EQ(0, kept.reply.error) << kept.reply.text;
  EXPECT_EQ((std::vector<uint32_t>{0, 1}), kept.reply.queues);
  ASSERT_EQ(3u, kept.fds.size());
  UniqueFd peer = raw_socket_in(*far, "um1");
  for (int queue = 0; queue < 2; queue++) {
    Xsk xsk(kept.fds[size_t(queue)].get(), kept.reply, umem);
    ASSERT_TRUE(xsk.good());
    ASSERT_TRUE(xsk.transmit(uint32_t(50 + queue), a_frame(uint32_t(queue))));
    EXPECT_EQ(a_frame(uint32_t(queue)), next_frame(peer.get()));
  }
  EXPECT_TRUE(kept.close());
}

// The rights of a keeper: three at most, and those only as long as they are of use.
TEST_F(KeeperTest, KeepsNoRightThatItDoesNotNeed) {
  auto rights = [](uint32_t pid, const char* which) {
    std::ifstream status("/proc/" + std::to_string(pid) + "/status");
    for (std::string line; std::getline(status, line);)
      if (line.starts_with(which)) return std::stoull(line.substr(strlen(which)), nullptr, 16);
    return ~0ull;
  };
  constexpr uint64_t kNetAdmin = 1ull << 12;
  Kept bound = bind(NicMode::kAuto);
  ASSERT_EQ(0, bound.reply.error) << bound.reply.text;
  // It drops them right after its answer.
  EXPECT_TRUE(eventually([&] { return rights(bound.reply.pid, "CapPrm:") == kNetAdmin; }));
  EXPECT_EQ(kNetAdmin, rights(bound.reply.pid, "CapEff:"));
  EXPECT_EQ(0u, rights(bound.reply.pid, "CapBnd:"));
  EXPECT_TRUE(bound.close());
  Kept tap = ask(TapRequest{"umtap0", {}, true});
  ASSERT_EQ(0, tap.reply.error) << tap.reply.text;
  EXPECT_TRUE(eventually([&] { return rights(tap.reply.pid, "CapPrm:") == 0; }));
  EXPECT_TRUE(tap.close());
}

// A persistent port's tap is the stack's interface: addresses and sockets work on it.
TEST_F(KeeperTest, TapIsAnInterface) {
  Kept kept = ask(TapRequest{"umtap0", MacAddress{2, 0, 0, 0, 0, 9}, true});
  ASSERT_EQ(0, kept.reply.error) << kept.reply.text;
  EXPECT_EQ("umtap0", kept.reply.interface);
  EXPECT_EQ((MacAddress{2, 0, 0, 0, 0, 9}), kept.reply.mac);
  ASSERT_EQ(1u, kept.fds.size());
  ASSERT_TRUE(sh("ip link set umtap0 up"));
  UniqueFd stack = raw_socket("umtap0");
  ASSERT_TRUE(put(stack.get(), a_frame(3)));
  EXPECT_EQ(a_frame(3), next_frame(kept.fds[0].get(), kEvent_ms, 12));
  ASSERT_TRUE(put(kept.fds[0].get(), std::string(12, 0) + a_frame(4)));
  EXPECT_EQ(a_frame(4), next_frame(stack.get()));
  EXPECT_TRUE(kept.close());
  EXPECT_FALSE(sh("ip link show umtap0"));
}

// Both sides of an attached interface by hand.
TEST_F(KeeperTest, AttachedSides) {
  ASSERT_TRUE(ping());
  std::string before = state();
  Kept kept = ask(AttachRequest{"um0", true, true, {}});
  ASSERT_EQ(0, kept.reply.error) << kept.reply.text;
  ASSERT_EQ(2u, kept.fds.size());
  int wire = kept.fds[0].get(), host = kept.fds[1].get();
  UniqueFd peer = raw_socket_in(*far, "um1"), stack = raw_socket("um0");
  const std::string header(12, 0);
  ASSERT_TRUE(put(peer.get(), a_frame(1)));
  EXPECT_EQ(a_frame(1), next_frame(wire, kEvent_ms, 12));
  ASSERT_TRUE(put(wire, header + a_frame(2)));
  EXPECT_EQ(a_frame(2), next_frame(peer.get()));
  ASSERT_TRUE(put(stack.get(), a_frame(3)));
  EXPECT_EQ(a_frame(3), next_frame(host, kEvent_ms, 12));
  // The stack's taps see what the wire brings first (as tcpdump does), then what it is given.
  EXPECT_EQ(a_frame(1), next_frame(stack.get()));
  ASSERT_TRUE(put(host, header + a_frame(4)));
  EXPECT_EQ(a_frame(4), next_frame(stack.get()));
  EXPECT_TRUE(no_frame(peer.get()));
  EXPECT_FALSE(next_frame(wire, 0, 12));
  EXPECT_FALSE(next_frame(host, 0, 12));
  ASSERT_TRUE(kept.close());
  EXPECT_EQ(before, settled(before));
  EXPECT_TRUE(ping());
}

// The switch's table, as the daemon makes and fills it.
class Table {
 public:
  Table() {
    union bpf_attr how {};
    how.map_type = BPF_MAP_TYPE_ARRAY;
    how.key_size = 4;
    how.value_size = sizeof(fast_bucket);
    how.max_entries = FAST_BUCKETS + FAST_MEMBERS;
    how.map_flags = BPF_F_MMAPABLE;
    fd_ = UniqueFd(int(syscall(SYS_bpf, BPF_MAP_CREATE, &how, sizeof how)));
    buckets_ = static_cast<fast_bucket*>(mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0));
  }
  ~Table() { munmap(buckets_, kBytes); }
  int fd() const { return fd_.get(); }
  void learn(MacAddress mac, uint32_t member) {
    uint64_t address = 0;
    memcpy(&address, mac.data(), 6);
    buckets_[fast_bucket_of(address)].station[3] = address << 16 | (member + 1);
  }
  fast_member member(uint32_t index) const { return reinterpret_cast<fast_member*>(buckets_ + FAST_BUCKETS)[index]; }

 private:
  static constexpr size_t kBytes = (FAST_BUCKETS + FAST_MEMBERS) * sizeof(fast_bucket);
  UniqueFd fd_;
  fast_bucket* buckets_ = nullptr;
};

// Frames between stations that the table knows go straight to the other interface, all others to the tap.
TEST_F(KeeperTest, ShortcutBetweenAttachedInterfaces) {
  Namespace third;
  ASSERT_TRUE(
      sh("ip link add um2 type veth peer name um3 netns " + std::to_string(third.pid()) + " && ip link set um2 up"));
  ASSERT_TRUE(sh(third.in("ip link set um3 up")));
  Table table;
  ASSERT_GE(table.fd(), 0);
  Kept one = ask(AttachRequest{"um0", false, true, 3}, {table.fd()});
  ASSERT_EQ(0, one.reply.error) << one.reply.text;
  Kept two = ask(AttachRequest{"um2", true, true, 4}, {table.fd()});
  ASSERT_EQ(0, two.reply.error) << two.reply.text;
  UniqueFd left = raw_socket_in(*far, "um1"), right = raw_socket_in(third, "um3");
  const MacAddress to{2, 0, 0, 0, 0, 1}, from{2, 0, 0, 0, 0, 2};  // as in a_frame()
  auto by_switch = [&](uint32_t number, const std::string& frame) {
    EXPECT_TRUE(put(left.get(), frame)) << number;
    EXPECT_EQ(frame, next_frame(one.fds[0].get(), kEvent_ms, 12)) << number;
    EXPECT_TRUE(no_frame(right.get())) << number;
  };
  by_switch(1, a_frame(1));
  table.learn(to, 4);
  by_switch(2, a_frame(2));  // whose sender is not known
  table.learn(from, 3);
  for (uint32_t i = 0; i < 100; i++) {
    ASSERT_TRUE(put(left.get(), a_frame(i)));
    ASSERT_EQ(a_frame(i), next_frame(right.get()));
  }
  EXPECT_FALSE(next_frame(one.fds[0].get(), 0, 12));
  EXPECT_FALSE(next_frame(two.fds[0].get(), 0, 12));
  EXPECT_FALSE(next_frame(two.fds[1].get(), 0, 12));
  EXPECT_EQ(100u, table.member(3).rx_frames);
  EXPECT_EQ(10000u, table.member(3).rx_bytes);
  EXPECT_EQ(100u, table.member(4).tx_frames);
  std::string group = a_frame(5);
  group[0] = 3;
  by_switch(5, group);
  table.learn(from, 4);  // it moved
  by_switch(6, a_frame(6));
  table.learn(from, 3);
  // An interface that left is no destination any more.
  ASSERT_TRUE(two.close());
  EXPECT_EQ(0u, table.member(4).ifindex);
  by_switch(7, a_frame(7));
  ASSERT_TRUE(one.close());
  Kept wrong = ask(AttachRequest{"um0", false, true, 3}, {memfd.get()});
  EXPECT_EQ(EINVAL, wrong.reply.error);
  sh("ip link del um2");
}

}  // namespace
