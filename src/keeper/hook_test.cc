// SPDX-License-Identifier: BSD-2-Clause
// Both means by which programs are put at an interface, in a network namespace of each test's own.
#include "keeper/hook.hh"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <cstdlib>

#include <port.skel.h>
#include "keeper/programs.hh"
#include "keeper/tap.hh"

namespace unetmap::keeper {
namespace {

class HookTest : public testing::Test {
 protected:
  void SetUp() override {
    home_ = UniqueFd(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
    if (unshare(CLONE_NEWNET) < 0) GTEST_SKIP() << "takes root, to make a network namespace";
    moved_ = true;
    quiet_libraries();
    auto tap = make_tap({.name = "umhook", .hidden = true, .purpose = "test"});
    if (!tap) GTEST_SKIP() << tap.error().text;
    tap_.emplace(std::move(*tap));
    programs_.reset(port::open_and_load());
    if (!programs_) GTEST_SKIP() << "BPF programs cannot be loaded here";
  }
  void TearDown() override {
    programs_.reset();
    tap_.reset();
    if (moved_) {
      ASSERT_EQ(0, setns(home_.get(), CLONE_NEWNET));
    }
  }
  static bool sh(const std::string& command) { return system((command + " >/dev/null 2>&1").c_str()) == 0; }
  static bool filtered() {
    return sh("tc filter show dev umhook ingress | grep -q bpf") ||
           sh("tc filter show dev umhook egress | grep -q bpf");
  }
  static bool has_qdisc() { return sh("tc qdisc show dev umhook | grep -q clsact"); }
  int program() const { return bpf_program__fd(programs_->progs.to_wire); }

  UniqueFd home_;
  bool moved_ = false;
  std::optional<Tap> tap_;
  Programs<port, port::destroy> programs_;
};

TEST_F(HookTest, LinksLeaveNothing) {
  {
    TcHooks hooks(tap_->interface.index);
    ASSERT_TRUE(hooks.add(Direction::kIngress, program()));
    ASSERT_TRUE(hooks.add(Direction::kEgress, program()));
    if (!hooks.all_links()) GTEST_SKIP() << "this kernel has no tc links";
    EXPECT_FALSE(has_qdisc());
  }
  EXPECT_FALSE(filtered());
}

TEST_F(HookTest, FiltersWhereThereAreNoLinks) {
  {
    TcHooks hooks(tap_->interface.index, TcHooks::Means::kFilters);
    auto added = hooks.add(Direction::kIngress, program());
    if (!added) GTEST_SKIP() << added.error().text;
    ASSERT_TRUE(hooks.add(Direction::kEgress, program()));
    EXPECT_FALSE(hooks.all_links());
    EXPECT_TRUE(has_qdisc());
    EXPECT_TRUE(filtered());
  }
  EXPECT_FALSE(filtered());
  EXPECT_FALSE(has_qdisc()) << "it was ours";
}

TEST_F(HookTest, OthersQdiscAndFiltersStay) {
  if (!sh("tc qdisc add dev umhook clsact")) GTEST_SKIP() << "no clsact";
  {
    TcHooks hooks(tap_->interface.index, TcHooks::Means::kFilters);
    ASSERT_TRUE(hooks.add(Direction::kIngress, program()));
    // What a killed keeper left is taken over, not doubled.
    TcHooks again(tap_->interface.index, TcHooks::Means::kFilters);
    ASSERT_TRUE(again.add(Direction::kIngress, program()));
    EXPECT_TRUE(sh("test $(tc filter show dev umhook ingress | grep -c 'handle 0x1') = 1"));
  }
  EXPECT_TRUE(has_qdisc());
  EXPECT_FALSE(filtered());
}

TEST_F(HookTest, GoneInterfaceIsAnError) {
  uint32_t index = tap_->interface.index;
  tap_.reset();
  TcHooks hooks(index);
  EXPECT_FALSE(hooks.add(Direction::kIngress, program()));
  EXPECT_FALSE(attach_xdp(index, program(), 0));
}

}  // namespace
}  // namespace unetmap::keeper
