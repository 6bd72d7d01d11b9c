// SPDX-License-Identifier: BSD-2-Clause
// Waiting for a set of descriptors of which some are netmap's: what poll, ppoll, select and pselect have in common.
#pragma once

#include <poll.h>
#include <signal.h>

#include <cstdint>

namespace unetmap::shim {

// True if the kernel alone cannot say whether `fd` is ready: a netmap descriptor, or an epoll set that holds one.
bool concerns_us(int fd);

inline bool any_concerns_us(const pollfd* fds, nfds_t n) {
  for (nfds_t i = 0; i < n; i++)
    if (fds[i].fd >= 0 && concerns_us(fds[i].fd)) return true;
  return false;
}

// As ppoll(2); `timeout_ns` < 0: for ever. errno is kept on success. A cancellation point. `looked`: there is one
// descriptor, netmap's, synced just now and not ready.
int wait_for(pollfd* fds, nfds_t n, int64_t timeout_ns, const sigset_t* sigmask, bool looked = false);

}  // namespace unetmap::shim
