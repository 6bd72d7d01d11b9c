// SPDX-License-Identifier: BSD-2-Clause
// The last descriptor numbers that the daemon may have are for what comes with requests: the places to answer them are
// descriptors, and a request whose descriptors cannot be taken is lost.
#pragma once

namespace unetmap::daemon {

// Whether a new descriptor's number is among those: what would stay open with it is refused.
bool kept_for_answers(int fd);

}  // namespace unetmap::daemon
