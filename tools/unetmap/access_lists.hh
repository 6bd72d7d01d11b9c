// SPDX-License-Identifier: BSD-2-Clause
// Access lists on their way to the daemon: people write expressions, the daemon takes programs.
#pragma once

#include "base/json.hh"
#include "base/result.hh"

namespace unetmap::cli {

// In settings of a port, {"acl_in": ["deny udp port 53"]} becomes {"acl_in": [{"rule": ..., "program": ...}]}. EINVAL,
// and what libpcap says, for an expression that is none.
Result<void> compile_lists(Json& settings);

}  // namespace unetmap::cli
