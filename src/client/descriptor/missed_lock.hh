// SPDX-License-Identifier: BSD-2-Clause
#pragma once

namespace unetmap::client {

class Descriptor;

// Whether this thread's last look at the descriptor's rings found one in the hands of another, who may have been held up
// for long: what that one did not see to is to be looked for again, and nobody will ring when he is through.
bool missed_lock(const Descriptor& d) noexcept;

}  // namespace unetmap::client
