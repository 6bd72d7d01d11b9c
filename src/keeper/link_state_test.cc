// SPDX-License-Identifier: BSD-2-Clause
#include "keeper/link_state.hh"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>

#include <atomic>
#include <cstring>
#include <string_view>
#include <thread>

namespace unetmap::keeper {
namespace {

// More than one answer of the kernel's holds.
constexpr uint32_t kAddresses = 2000;

// `number`: of the loopback interface's, each of which has one.
bool set_address(int socket, uint32_t number, uint32_t address) {
  ifreq request{};
  *fmt::format_to(request.ifr_name, "lo:{}", number) = 0;
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_addr.s_addr = htonl(address);
  memcpy(&request.ifr_addr, &name, sizeof name);
  return ioctl(socket, SIOCSIFADDR, &request) == 0;
}

// In a namespace of its own: whether that could be had.
bool keeps_state_while_addresses_change() {
  if (unshare(CLONE_NEWNET) != 0) return false;
  const UniqueFd tap(open("/dev/net/tun", O_RDWR | O_CLOEXEC)), socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq wanted{};
  std::string_view("um-kept").copy(wanted.ifr_name, sizeof wanted.ifr_name - 1);
  wanted.ifr_flags = IFF_TAP | IFF_NO_PI;
  if (!tap || ioctl(tap.get(), TUNSETIFF, &wanted) != 0) return false;
  for (uint32_t i = 0; i < kAddresses; i++) EXPECT_TRUE(set_address(socket.get(), i, 0x0a000001 + 2 * i));
  // With each look come some changes: fewer than the looks that may be needed for it.
  constexpr uint32_t kLooks = 100, kChanges = 40;
  std::atomic<uint32_t> look = 0;
  std::thread others([&] {
    constexpr uint32_t kLast = kAddresses - 1;  // with the first, all of its network would go
    for (uint32_t seen = 0; seen < kLooks;) {
      look.wait(seen);
      seen = look;
      for (uint32_t i = 0; i < kChanges && seen < kLooks; i++)
        EXPECT_TRUE(set_address(socket.get(), kLast, 0x0a000001 + 2 * kLast + i % 2));
    }
  });
  auto interface = look_up("um-kept");
  EXPECT_TRUE(interface) << interface.error().text;
  while (look + 1 < kLooks && interface) {
    look++;
    look.notify_one();
    auto state = link_state(*interface);
    EXPECT_TRUE(state) << state.error().text;
    if (!state) break;
  }
  look = kLooks;
  look.notify_one();
  others.join();
  return true;
}

TEST(LinkState, IsToldWhileOthersChangeIt) {
  bool tried = false;
  std::thread([&] { tried = keeps_state_while_addresses_change(); }).join();
  if (!tried) GTEST_SKIP() << "no network namespace can be made here";
}

}  // namespace
}  // namespace unetmap::keeper
