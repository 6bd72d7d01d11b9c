// SPDX-License-Identifier: BSD-2-Clause
// The client's side of the wire: reaching (and starting) the daemon, asking it something.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/fd.hh"
#include "base/result.hh"
#include "wire/messages.hh"

namespace unetmap::client {

struct Reply {
  std::vector<uint8_t> body;
  bool has_bind = false;
  wire::BindInfo bind{};
  std::vector<UniqueFd> fds;
};

// A new connection, starting a daemon if none answers. `flags`: SOCK_CLOEXEC, SOCK_NONBLOCK.
Result<UniqueFd> connect_daemon(int flags);

// Asks the daemon behind `connection` and waits for its answer. Works in any blocking mode of the connection, from any
// number of threads and processes that share it. ENXIO when the daemon is gone.
// `fds` ride along, behind the one for the reply. `refused`: the body of a reply that says no, for requests that report
// in theirs even then.
Result<Reply> ask(int connection, wire::Op op, std::span<const uint8_t> body, std::span<const int> fds = {},
                  std::vector<uint8_t>* refused = nullptr);

// As ask(Op::kControl), showing the daemon our network namespace: names of interfaces mean those there. Where it wants
// a keeper in that namespace, one is started.
Result<Reply> ask_from_here(int connection, std::span<const uint8_t> body, std::vector<uint8_t>* refused);

// Asks for what has no other answer than that it was done, and waits for that. Takes no memory.
void tell_and_wait(int connection, wire::Op op);

// Tells the daemon something short that has no answer; best effort.
void tell(int connection, wire::Op op, std::span<const uint8_t> body);

template <class T>
std::span<const uint8_t> bytes_of(const T& value) {
  return {reinterpret_cast<const uint8_t*>(&value), sizeof value};
}

}  // namespace unetmap::client
