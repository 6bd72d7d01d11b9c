// SPDX-License-Identifier: BSD-2-Clause
// Wake-ups: ring/wait_list.hh. A doorbell is the eventfd of a file; whoever has to wake a file fetches it from the
// daemon once. Where descriptors are short, or a list overflowed, the daemon rings instead.
#pragma once

#include "ring/wait_list.hh"
#include "wire/messages.hh"

namespace unetmap::client {

// Rings for everyone on the list; `connection` and `port` serve to ask the daemon where a doorbell is unknown.
void wake_waiters(WaitList& list, int connection, const wire::ResolveRequest& port);
// Rings for one of them, whose turn it is. False if it has no doorbell to be had here: it is on the list again, for whoever
// has the daemon ring.
bool wake_waiter(WaitList& list, int connection, uint16_t port);
void forget_doorbells();

}  // namespace unetmap::client
