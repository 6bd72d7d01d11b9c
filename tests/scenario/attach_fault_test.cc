// SPDX-License-Identifier: BSD-2-Clause
// What happens to interfaces on a switch, under traffic, when one of them, its namespace, a worker or the daemon goes:
// the others go on, what can come back does, and the interfaces are as they were before.
#include <gmock/gmock.h>

#include <atomic>

#include "nic_fixture.hh"

namespace {

using namespace nic_port;

// Each fault so many times; UNETMAP_FAULTS=200 for the whole proof.
const int kTimes = getenv("UNETMAP_FAULTS") ? atoi(getenv("UNETMAP_FAULTS")) : 8;

// A process that sends frames into one interface and counts those that come out of another, made anew or not.
class Traffic {
 public:
  Traffic(const std::string& from, const std::string& to)
      : seen_(static_cast<std::atomic<uint64_t>*>(
            mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {
    pid_ = fork();
    if (pid_ != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    UniqueFd in, out;
    for (uint32_t i = 0;; i++) {
      if (!in) in = raw_socket(from);
      if (!out) out = raw_socket(to);
      bool sent = in && put(in.get(), a_frame(i));
      pollfd wait{out.get(), POLLIN, 0};
      poll(&wait, 1, sent ? 1 : 10);
      while (out && next_frame(out.get(), 0)) seen_->fetch_add(1);
      // An interface that went takes its sockets with it.
      if (!sent) in.reset();
      if (wait.revents & (POLLERR | POLLNVAL)) out.reset();
    }
  }
  ~Traffic() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    munmap(seen_, 4096);
  }
  Traffic(const Traffic&) = delete;
  Traffic& operator=(const Traffic&) = delete;
  // More frames come out from now on.
  bool flows() const {
    uint64_t before = *seen_;
    return eventually([&] { return *seen_ > before + 20; });
  }

 private:
  std::atomic<uint64_t>* seen_;
  pid_t pid_ = -1;
};

// um0 and um2 are attached; their far ends are um1 and um3.
class AttachFaults : public nic_fixture::OwnNamespaceTest {
 protected:
  static bool make_pair(const std::string& near, const std::string& far) {
    return sh("ip link add " + near + " address 02:00:00:00:00:1" + near.back() + " type veth peer name " + far +
              " && ip link set " + near + " up && ip link set " + far + " up");
  }
  void SetUp() override {
    if (!inside) GTEST_SKIP() << "takes root, to make network namespaces";
    ASSERT_TRUE(make_pair("um0", "um1") && make_pair("um2", "um3"));
    before = state();
    start_daemon();
    attach_both();
  }
  void TearDown() override {
    if (!inside) return;
    sh("vale-ctl -d vale0:um0; vale-ctl -d vale0:um2");
    expect_as_before();
    daemon.reset();
    sh("ip link del um0; ip link del um2");
  }
  void start_daemon() {
    daemon.emplace(std::vector<std::string>{});
    ASSERT_TRUE(daemon->listening());
  }
  static void attach_both() {
    for (const char* name : {"um0", "um2"})
      ASSERT_EQ("", output(std::string("vale-ctl -a vale0:") + name + " >/dev/null"));
  }
  // Numbers of interfaces differ from one pair to the next.
  static std::string state() {
    return output(
        "for i in um0 um2; do ethtool -k $i; ip -d link show $i | sed 's/^[0-9]*//'; tc filter show dev $i ingress; tc "
        "filter show dev $i egress; done; ip -br link | cut -c 1-16 | sort; bpftool net show");
  }
  void expect_as_before() {
    std::string now;
    eventually([&] { return (now = state()) == before; }, 200);
    EXPECT_EQ(before, now) << daemon->log();
  }
  static bool taps_are(size_t wanted) {
    return eventually([wanted] { return interfaces_named("unm") == wanted; });
  }
  static bool listed(const std::string& port) { return output("unetmap ports").find(port + " ") != std::string::npos; }
  static pid_t worker_of(const std::string& port) {
    return pid_t(
        atol(output("unetmap ports --json | python3 -c 'import json, sys; print(next(p[\"plug\"][\"pid\"] for p in "
                    "json.load(sys.stdin)[\"ports\"] if p[\"name\"] == \"" +
                    port + "\"))'")
                 .c_str()));
  }

  std::optional<Daemon> daemon;
  std::string before;
};

// The kernel's shortcuts follow the switch only while there is something to be followed.
TEST_F(AttachFaults, WithoutTrafficTheDaemonSleeps) {
  auto wake_ups = [&] {
    return std::stoul(output("awk '/ctxt_switches/ { n += $2 } END { print n }' /proc/" +
                             std::to_string(daemon->pid()) + "/task/*/status"));
  };
  for (int i = 0; i < 2; i++) {
    {
      Traffic traffic("um1", "um3");
      ASSERT_TRUE(traffic.flows());
      auto then = wake_ups();
      EXPECT_TRUE(eventually([&] { return wake_ups() > then + 5; }));
    }
    EXPECT_TRUE(eventually(
        [&] {
          auto then = wake_ups();
          sleep(2);
          return wake_ups() == then;
        },
        10));
  }
}

TEST_F(AttachFaults, InterfaceDeleted) {
  Traffic traffic("um1", "um3");
  ASSERT_TRUE(traffic.flows());
  ASSERT_TRUE(taps_are(2));
  size_t descriptors = daemon->descriptors();
  for (int i = 0; i < kTimes; i++) {
    ASSERT_TRUE(sh("ip link del um0"));
    ASSERT_TRUE(eventually([] { return !listed("vale0:um0"); }, 400)) << i;
    ASSERT_TRUE(taps_are(1)) << i;
    ASSERT_TRUE(make_pair("um0", "um1"));
    ASSERT_EQ("", output("vale-ctl -a vale0:um0 >/dev/null")) << i;
    ASSERT_TRUE(traffic.flows()) << i << "\n" << output("unetmap ports; unetmap stats") << daemon->log();
  }
  EXPECT_TRUE(eventually([&] { return daemon->descriptors() <= descriptors; }, 200)) << daemon->descriptors();
}

TEST_F(AttachFaults, WorkerKilled) {
  Traffic traffic("um1", "um3");
  ASSERT_TRUE(traffic.flows());
  size_t descriptors = daemon->descriptors();
  for (int i = 0; i < kTimes; i++) {
    const std::string port = i % 2 ? "vale0:um0" : "vale0:um2";
    pid_t worker = worker_of(port);
    ASSERT_GT(worker, 1);
    ASSERT_EQ(0, kill(worker, SIGKILL));
    ASSERT_TRUE(traffic.flows()) << i << "\n" << output("unetmap ports; unetmap stats") << daemon->log();
    // The next one's turn comes when this one has been replaced.
    ASSERT_TRUE(eventually([&] {
      pid_t now = worker_of(port);
      return now > 1 && now != worker;
    })) << i;
  }
  EXPECT_TRUE(eventually([&] { return daemon->descriptors() <= descriptors; }, 200)) << daemon->descriptors();
}

TEST_F(AttachFaults, DaemonKilled) {
  Traffic traffic("um1", "um3");
  for (int i = 0; i < kTimes; i++) {
    ASSERT_TRUE(traffic.flows()) << i;
    daemon->end(SIGKILL);
    ASSERT_TRUE(taps_are(0)) << i;
    if (i % 10 == 0) expect_as_before();
    start_daemon();
    attach_both();
    if (HasFailure()) return;
  }
}

// What is attached holds its namespace, as a name would; once it is detached all goes: its end of a veth pair with it,
// which shows.
TEST_F(AttachFaults, NamespaceDeleted) {
  size_t descriptors = daemon->descriptors();
  for (int i = 0; i < kTimes; i++) {
    std::optional<Namespace> other(std::in_place);
    std::string pid = std::to_string(other->pid());
    ASSERT_TRUE(sh("ip link add sight type veth peer name um9 netns " + pid + " && ip link set sight up && " +
                   other->in("ip link set um9 up")));
    ASSERT_EQ("", output(other->in("vale-ctl -a vale0:um9 >/dev/null"))) << i;
    {
      Traffic traffic("um1", "sight");
      ASSERT_TRUE(traffic.flows()) << i << "\n" << output("unetmap ports; unetmap stats") << daemon->log();
      other.reset();
      ASSERT_TRUE(traffic.flows()) << i;
    }
    ASSERT_EQ("", output("vale-ctl -d vale0:um9 >/dev/null")) << i;
    ASSERT_TRUE(eventually([] { return if_nametoindex("sight") == 0; })) << i;
  }
  EXPECT_TRUE(eventually([&] { return daemon->descriptors() <= descriptors; }, 200)) << daemon->descriptors();
}

}  // namespace
