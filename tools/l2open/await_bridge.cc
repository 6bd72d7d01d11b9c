// SPDX-License-Identifier: BSD-2-Clause
// A bridge drops what comes to a port that does not forward yet: with the spanning tree protocol for some thirty
// seconds after the port came up.
#include <fmt/core.h>
#include <net/if.h>
#include <poll.h>

#include <fstream>
#include <iterator>
#include <optional>

#include "base/output.hh"
#include "open.hh"

namespace unetmap::l2 {
namespace {

constexpr int kBridgeWait_ms = 60'000, kBridgeStep_ms = 20;
constexpr unsigned kDisabled = 0, kForwarding = 3;
constexpr const char* kStates[] = {"disabled", "listening", "learning", "forwarding", "blocking"};

template <class T>
std::optional<T> read_of(const std::string& interface, const char* what) {
  std::ifstream file("/sys/class/net/" + interface + "/" + what);
  T value;
  if (file >> value) return value;
  return std::nullopt;
}

std::optional<unsigned> state_of(const std::string& port) { return read_of<unsigned>(port, "brport/state"); }

// The other end of a veth pair, if that is here as well; an empty name otherwise. The number of an interface in another
// namespace may be somebody else's here, who does not point back.
std::string other_end(const std::string& interface) {
  const auto own = read_of<unsigned>(interface, "ifindex"), other = read_of<unsigned>(interface, "iflink");
  char name[IFNAMSIZ];
  if (!own || !other || *own == *other || !if_indextoname(*other, name)) return {};
  return read_of<unsigned>(name, "iflink") == own ? name : "";
}

// The bridge's port that frames of the interface come in by.
std::string bridge_port(const std::string& interface) {
  if (state_of(interface)) return interface;
  const std::string other = other_end(interface);
  return !other.empty() && state_of(other) ? other : "";
}

}  // namespace

void await_bridge(const std::string& interface) {
  const std::string port = bridge_port(interface);
  if (port.empty()) return;
  bool told = false;
  for (int waited = 0; waited < kBridgeWait_ms; waited += kBridgeStep_ms) {
    const auto state = state_of(port);
    // A port that is down stays as it is; one that left its bridge has nobody to wait for.
    if (!state || *state == kForwarding || *state == kDisabled) return;
    if (!told) {
      print_err("l2open: {} is {}: waiting for its bridge to forward\n", port,
                *state < std::size(kStates) ? kStates[*state] : "not ready");
    }
    told = true;
    poll(nullptr, 0, kBridgeStep_ms);
  }
  print_err("l2open: {}: its bridge still does not forward; frames are lost there\n", port);
}

}  // namespace unetmap::l2
