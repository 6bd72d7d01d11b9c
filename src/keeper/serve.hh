// SPDX-License-Identifier: BSD-2-Clause
// A keeper's life: one set-up, then watching over it until the channel hangs up or a signal comes.
#pragma once

#include "base/fd.hh"

namespace unetmap::keeper {

// `signals`: a signalfd of those that end it. The exit status of the process.
int serve(UniqueFd channel, UniqueFd signals);

}  // namespace unetmap::keeper
