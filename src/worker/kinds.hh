// SPDX-License-Identifier: BSD-2-Clause
// The start functions that the table in kinds.cc names.
#pragma once

#include "worker/kind.hh"

namespace unetmap::worker {

Result<std::unique_ptr<Kind>> start_stream(Start start);      // stream.cc
Result<std::unique_ptr<Kind>> start_dgram(Start start);       // dgram.cc
Result<std::unique_ptr<Kind>> start_vhost_user(Start start);  // vhost_user.cc
Result<std::unique_ptr<Kind>> start_e1000(Start start);       // e1000.cc
Result<std::unique_ptr<Kind>> start_passthrough(Start start);  // passthrough.cc
Result<std::unique_ptr<Kind>> start_tap(Start start);         // tap.cc

}  // namespace unetmap::worker
