// SPDX-License-Identifier: BSD-2-Clause
// CSB mode and the sync kloop: a descriptor whose indexes are in communication status blocks of the application, and
// a loop that syncs its rings in the thread that asks for it, until another thread or process stops it.
#pragma once

#include <span>

#include "client/state.hh"
#include "wire/control.hh"

namespace unetmap::client {

// NETMAP_REQ_CSB_ENABLE, SYNC_KLOOP_START, SYNC_KLOOP_STOP: 0, or -1 with errno.
int kloop_request(Descriptor& d, wire::ControlRequest& request, const std::vector<nmreq_option*>& places);

// NETMAP_REQ_OPT_CSB of a REGISTER. An errno value, 0 if fine.
int enable_csb(Descriptor& d, std::span<const uint8_t> option_payload);

}  // namespace unetmap::client
