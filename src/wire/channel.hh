// SPDX-License-Identifier: BSD-2-Clause
// Datagrams with descriptors over Unix sockets.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hh"
#include "base/result.hh"

namespace unetmap::wire {

struct Datagram {
  std::vector<uint8_t> bytes;
  std::vector<UniqueFd> fds;
};

// Sends one datagram with up to kMaxFds descriptors (which stay the caller's). `flags` as in sendmsg, MSG_NOSIGNAL is
// added. EINTR is handled.
Result<void> send(int socket, std::span<const uint8_t> bytes, std::span<const int> fds, int flags = 0);

// Receives one datagram; an empty Datagram (no bytes) means that the other side is gone. Descriptors come with
// close-on-exec. Truncated data or descriptors give EMSGSIZE. MSG_DONTWAIT in `flags` gives EAGAIN when there is none.
Result<Datagram> receive(int socket, size_t max_bytes, int flags = 0);
// The same into an `out` from empty_datagram(), which takes all the memory that this needs.
Datagram empty_datagram(size_t max_bytes);
Result<void> receive_into(Datagram& out, int socket, int flags = 0);

// The path of the daemon's socket: $UNETMAP_SOCKET, else $XDG_RUNTIME_DIR/unetmap/unetmapd.sock, else
// /run/unetmap/unetmapd.sock for root and /tmp/unetmap-UID/unetmapd.sock for others.
std::string default_socket_path();
// Whether it is that, without taking memory.
bool is_default_socket_path(std::string_view path);

}  // namespace unetmap::wire
