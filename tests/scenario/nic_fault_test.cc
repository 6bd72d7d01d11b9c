// SPDX-License-Identifier: BSD-2-Clause
// What happens to ports on interfaces, under traffic, when the interface, its namespace, the program or the daemon
// goes: the program gets an error and never hangs, and the interface is as it was before.
#include <gmock/gmock.h>

#include "nic_fixture.hh"

namespace {

using namespace nic_port;

// Each fault so many times.
const int kTimes = getenv("UNETMAP_FAULTS") ? atoi(getenv("UNETMAP_FAULTS")) : 20;  // UNETMAP_FAULTS=200 ctest -R nic_fault for the whole proof

// A program that sends on one end of a veth pair and receives on the other for as long as it can.
class Traffic {
 public:
  enum Outcome { kError = 10, kCannotOpen, kLost };

  // `enter`: where the interfaces are, before they are opened; the program returns to where it came from.
  explicit Traffic(const Namespace* enter = nullptr) {
    int flowing[2];
    if (pipe2(flowing, O_CLOEXEC) < 0) return;
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      close(flowing[0]);
      if (enter) {
        UniqueFd net(open(("/proc/" + std::to_string(enter->pid()) + "/ns/net").c_str(), O_RDONLY | O_CLOEXEC));
        if (setns(net.get(), CLONE_NEWNET) < 0) _exit(99);
      }
      _exit(run(flowing[1]));
    }
    close(flowing[1]);
    pollfd wait{flowing[0], POLLIN, 0};
    char byte;
    flows_ = poll(&wait, 1, kEvent_ms) == 1 && read(flowing[0], &byte, 1) == 1;
    close(flowing[0]);
  }
  ~Traffic() {
    if (pid_ > 0) end();
  }
  bool flows() const { return flows_; }
  // Its exit status once it has ended by itself; -1 if it does not.
  int outcome() {
    UniqueFd process(int(syscall(SYS_pidfd_open, pid_, 0)));
    pollfd wait{process.get(), POLLIN, 0};
    if (poll(&wait, 1, kEvent_ms) != 1) return -1;
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -2;
  }
  void end() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  static int run(int flowing) {
    Port a("netmap:um0*"), b("netmap:um1");
    if (!a || !b) return kCannotOpen;
    uint64_t received = 0;
    for (uint32_t i = 0;; i++) {
      // Few by the socket, many straight to the other end.
      for (int k = 0; k < (i % 2 ? 32 : 300); k++) a.queue(a_frame(i, 100));
      if (ioctl(a.fd(), NIOCTXSYNC, nullptr) < 0) return errno == ENXIO ? kError : kLost;
      pollfd wait[] = {{a.fd(), POLLIN | POLLOUT, 0}, {b.fd(), POLLIN, 0}};
      if (poll(wait, 2, kEvent_ms) <= 0) return kLost;
      if ((wait[0].revents | wait[1].revents) & (POLLERR | POLLHUP)) return kError;
      for (netmap_ring* ring : {a.rx(0), b.rx(0)}) {
        received += nm_ring_space(ring);
        ring->head = ring->cur = ring->tail;
      }
      if (received > 500 && flowing >= 0) {
        (void)!write(flowing, "", 1);
        close(std::exchange(flowing, -1));
      }
    }
  }

  pid_t pid_ = -1;
  bool flows_ = false;
};

class NicFaults : public nic_fixture::OwnNamespaceTest {
 protected:
  static bool make_pair() {
    return sh(
        "ip link add um0 address 02:00:00:00:00:10 type veth peer name um1 && ip link set um0 up && ip link set um1 "
        "up");
  }
  void SetUp() override {
    if (!inside) GTEST_SKIP() << "takes root, to make network namespaces";
    ASSERT_TRUE(make_pair());
    before = state();
    daemon.emplace(std::vector<std::string>{"--nic-mode", "native"});
    ASSERT_TRUE(daemon->listening());
    idle_descriptors = daemon->descriptors();
  }
  void TearDown() override {
    if (!inside) return;
    daemon.reset();
    sh("ip link del um0");
    EXPECT_EQ("", output("ip -br link | grep unmhost"));
  }
  // Numbers of interfaces differ from one pair to the next.
  static std::string state() {
    return output(
        "ethtool -k um0; ip -d link show um0 | sed 's/^[0-9]*//'; tc filter show dev um0 ingress; tc filter show dev "
        "um0 egress; ip -br link | cut -c 1-16; bpftool net show");
  }
  void expect_as_before() {
    std::string now;
    eventually([&] { return (now = state()) == before; }, 100);
    EXPECT_EQ(before, now);
  }
  static bool host_tap_gone() {
    return eventually([] { return interfaces_named("unmhost") == 0; });
  }
  // Often: what is quick to see; now and then all of it.
  void check(int turn) {
    ASSERT_TRUE(host_tap_gone()) << turn;
    if (turn % 20 == 0) {
      expect_as_before();
      if (daemon && daemon->pid() > 0) {
        // Fewer: that of the connection by which it was seen to listen has gone since.
        EXPECT_TRUE(eventually([&] { return daemon->descriptors() <= idle_descriptors; }, 200))
            << daemon->descriptors() << " and not " << idle_descriptors;
      }
    }
  }

  std::optional<Daemon> daemon;
  std::string before;
  size_t idle_descriptors = 0;
};

TEST_F(NicFaults, ClientKilled) {
  for (int i = 0; i < kTimes; i++) {
    Traffic traffic;
    ASSERT_TRUE(traffic.flows()) << i << "\n" << output("unetmap ports; unetmap stats; ip -br link") << daemon->log().substr(0, 3000);
    traffic.end();
    check(i);
    if (HasFailure()) return;
  }
}

TEST_F(NicFaults, DaemonKilled) {
  for (int i = 0; i < kTimes; i++) {
    Traffic traffic;
    ASSERT_TRUE(traffic.flows()) << i << "\n" << output("unetmap ports; unetmap stats; ip -br link") << daemon->log().substr(0, 3000);
    daemon->end(SIGKILL);
    ASSERT_EQ(Traffic::kError, traffic.outcome()) << i;
    check(i);
    if (HasFailure()) return;
    daemon.emplace(std::vector<std::string>{"--nic-mode", "native"});
    ASSERT_TRUE(daemon->listening());
  }
}

TEST_F(NicFaults, InterfaceDeleted) {
  for (int i = 0; i < kTimes; i++) {
    Traffic traffic;
    ASSERT_TRUE(traffic.flows()) << i << "\n" << output("unetmap ports; unetmap stats; ip -br link") << daemon->log().substr(0, 3000);
    ASSERT_TRUE(sh("ip link del um0"));
    ASSERT_EQ(Traffic::kError, traffic.outcome()) << i;
    ASSERT_TRUE(make_pair());
    check(i);
    if (HasFailure()) return;
  }
}

// While the program has its sockets the namespace is there, without a name; when it goes, all goes: its end of a veth
// pair with it, which shows.
TEST_F(NicFaults, NamespaceDeleted) {
  for (int i = 0; i < kTimes; i++) {
    Namespace other;
    std::string pid = std::to_string(other.pid());
    ASSERT_TRUE(sh("ip link add sight type veth peer name far netns " + pid + " && " +
                   other.in("ip link add um0 type veth peer name um1") + " && " + other.in("ip link set um0 up") +
                   " && " + other.in("ip link set um1 up")));
    {
      Traffic traffic(&other);
      ASSERT_TRUE(traffic.flows()) << i << "\n" << output("unetmap ports; unetmap stats; ip -br link") << daemon->log().substr(0, 3000);
      other.remove();
      ASSERT_NE(0u, if_nametoindex("sight"));
      traffic.end();
    }
    ASSERT_TRUE(eventually([] { return if_nametoindex("sight") == 0; })) << i;
    check(i);
    if (HasFailure()) return;
  }
}

TEST_F(NicFaults, DownRenamedOrOtherQueues) {
  struct {
    const char *what, *undo;
  } const faults[] = {
      {"ip link set um0 down", "ip link set um0 up"},
      {"ip link set um0 name um9", "ip link set um9 name um0"},
      {"ethtool -L um0 rx 2", "ethtool -L um0 rx 1"},
  };
  for (int i = 0; i < 60; i++) {
    auto& fault = faults[i % 3];
    Traffic traffic;
    ASSERT_TRUE(traffic.flows()) << i << "\n" << output("unetmap ports; unetmap stats; ip -br link") << daemon->log().substr(0, 3000);
    if (!sh(fault.what)) {
      traffic.end();
      continue;  // which this kernel refuses while an AF_XDP socket is there
    }
    ASSERT_EQ(Traffic::kError, traffic.outcome()) << fault.what;
    ASSERT_TRUE(host_tap_gone());
    ASSERT_TRUE(sh(fault.undo)) << fault.undo;
    if (i > 56) expect_as_before();
  }
}

}  // namespace
