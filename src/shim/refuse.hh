// SPDX-License-Identifier: BSD-2-Clause
// Calls that a netmap descriptor does not take. The device has no read and no write, and is no socket, though what the
// program holds is one: nothing may come to the daemon, or wait for it, in the program's name.
#pragma once

#include <cerrno>

#include "client/descriptor/calls.hh"
#include "shim/own_process.hh"

namespace unetmap::shim {

inline int fail(int error) {
  errno = error;
  return -1;
}

// True, with errno, if `fd` is a netmap descriptor. EINVAL where bytes would move, as at a device that moves none;
// ENOTSOCK where the call is about a socket.
inline bool refused(int fd, int error = EINVAL) {
  if (!client::maybe_netmap(fd)) [[likely]]
    return false;
  if (client::is_netmap(fd)) return errno = error, true;
  if (own_process()) client::note_other(fd);
  return false;
}

}  // namespace unetmap::shim
