// SPDX-License-Identifier: BSD-2-Clause
// Descriptors that carry Ethernet frames of an interface. They stay open across exec.
#pragma once

#include <string>

#include "base/fd.hh"
#include "base/result.hh"

namespace unetmap::l2 {

struct RawOptions {
  bool promiscuous = false;
  bool outgoing = false;
};

// An AF_PACKET socket bound to the interface, on which no frame of another was ever queued.
Result<UniqueFd> open_raw(const std::string& interface, const RawOptions& options);

// A queue of the tap: of the existing one, else of one made now, which is up, and goes with its last descriptor.
Result<UniqueFd> open_tap(const std::string& interface);

// Where the interface, or the other end of a veth pair, is a bridge's port that is still coming up: until it forwards,
// for a limited time. Says so on standard error.
void await_bridge(const std::string& interface);

}  // namespace unetmap::l2
