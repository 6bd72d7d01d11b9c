// SPDX-License-Identifier: BSD-2-Clause
#include "shim/client_state.hh"

#include <algorithm>

#include "client/descriptor/calls.hh"
#include "client/descriptor/descriptor.hh"
#include "client/descriptor/missed_lock.hh"

namespace unetmap::shim {

constexpr int64_t kResetStepNs = 2'000'000, kBusyStepNs = 10'000'000;

// A number that was closed is no longer the Descriptor's, and all of its numbers are in the table.
bool open_here(client::Descriptor& d) noexcept { return client::peek(d.fd()) == &d; }

int64_t limit_sleep(client::Descriptor& d, int64_t ns) noexcept {
  if (ns >= 0 && ns <= kResetStepNs) return ns;
  client::Bound* bound = d.bound_now();
  if (!bound) return ns;
  for (auto& ring : bound->rx)
    if (ring->resetting()) return kResetStepNs;
  if (client::missed_lock(d)) return ns < 0 ? kBusyStepNs : std::min(ns, kBusyStepNs);
  return ns;
}

void daemon_ended(client::Descriptor& d) noexcept { d.mark_dead(); }

}  // namespace unetmap::shim
