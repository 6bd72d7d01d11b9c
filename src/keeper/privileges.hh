// SPDX-License-Identifier: BSD-2-Clause
// A keeper's rights: at first those that its set-up takes, afterwards those that undoing it takes, never others.
#pragma once

#include "base/result.hh"
#include "wire/keeper.hh"

namespace unetmap::keeper {

// As much locked memory as may be had, then CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF, as far as they are there, and where
// a device may have to be driven CAP_SYS_ADMIN, which tells where memory is.
void keep_needed_rights(bool device);
// Whether a request can be carried out with what there is; else which right is missing, and how to get it.
Result<void> check_rights(const wire::KeeperRequest& request);
// Once set up.
void keep_rights_to_undo(bool admin);

}  // namespace unetmap::keeper
