// SPDX-License-Identifier: BSD-2-Clause
// Wake-ups: ring/wait_list.hh. A doorbell is the eventfd of a file; whoever has to wake a file fetches it from the
// daemon once. Where descriptors are short, or a list overflowed, the daemon rings instead.
#pragma once

#include "ring/wait_list.hh"
#include "wire/messages.hh"

namespace unetmap::client {

// Rings for everyone on the list; `connection` and `port` serve to ask the daemon where a doorbell is unknown.
void wake_waiters(WaitList& list, int connection, const wire::ResolveRequest& port);
void forget_doorbells();

}  // namespace unetmap::client
