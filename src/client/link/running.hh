// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include "base/fd.hh"
#include "base/result.hh"

namespace unetmap::client {

// A new connection to the daemon that runs; starts none.
Result<UniqueFd> connect_running_daemon();

}  // namespace unetmap::client
