// SPDX-License-Identifier: BSD-2-Clause
// What the shim needs to know of a Descriptor beyond client/descriptor/calls.hh.
#pragma once

#include <cstdint>

#include "client/descriptor/calls.hh"

namespace unetmap::shim {

// False once this process has closed its last number of it. The object lives on for a while.
bool open_here(client::Descriptor& d) noexcept;

// How long a thread that waits for it may sleep at most, in nanoseconds: a ring that is being reset after the death of
// a sender has to be looked at again although nobody rings. `ns` itself (negative: for ever) nearly always.
int64_t limit_sleep(client::Descriptor& d, int64_t ns) noexcept;

// Its connection to the daemon was seen to be hung up.
void daemon_ended(client::Descriptor& d) noexcept;

}  // namespace unetmap::shim
