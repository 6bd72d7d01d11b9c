// SPDX-License-Identifier: BSD-2-Clause
// The sync kloop: a loop that syncs the rings of a descriptor in CSB mode (descriptor/csb.hh), in the thread that asks
// for it, until another thread or process that has the descriptor stops it, or the descriptor is closed in its process.
//
// Polling: without eventfds for all rings, it syncs, and sleeps nmreq_sync_kloop_start.sleep_us in between.
// With eventfds: it sleeps until the application writes to a ring's ioeventfd, something arrives, or a ring that has
// unsent packets can go on. Kicks are asked for (kern_need_kick) where they matter only: on transmit rings once all is
// sent; on receive rings when so many slots are with the application that senders may miss them. Each time it asks it
// looks once more before it sleeps; idle, it never wakes. The irqfd of a ring is written when hwtail has moved and the
// application asked for it (appl_need_kick).
// Direct mode: upstream handles kicks in the thread that kicks, and passes notifications on unseen. Here the loop's
// thread does the work all the same; direct rings always ask for kicks, and their irqfd is written at each arrival (rx)
// and whenever a full ring has room again (tx), also where the application did not ask.
//
// A signal whose handler returns does not end the loop. A stop before a start ends that loop at its beginning, as a
// program that starts its loop in a new thread needs it.
#pragma once

#include <string>

#include "client/descriptor/descriptor.hh"
#include "wire/control.hh"

namespace unetmap::client {

// NETMAP_REQ_CSB_ENABLE, SYNC_KLOOP_START, SYNC_KLOOP_STOP: 0, or -1 with errno. Options tell in `request` what became
// of them.
int kloop_request(Descriptor& d, wire::ControlRequest& request);

// Why CSB mode cannot be had, and what to do.
std::string csb_refusal(int error);

}  // namespace unetmap::client
