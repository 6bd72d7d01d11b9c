// SPDX-License-Identifier: BSD-2-Clause
// The daemon's socket in the file system: one daemon for each, however many are started at once.
//
// Beside SOCKET lies SOCKET.lock, held for the daemon's life: who holds it owns the name, and may replace a socket that
// a killed one left behind.
#pragma once

#include <string>

#include "base/fd.hh"
#include "base/result.hh"

namespace unetmap::daemon {

class Listener {
 public:
  // Takes `path`. EADDRINUSE when another daemon answers there, which need be no failure for who started us.
  static Result<Listener> open(const std::string& path);
  // The socket that systemd passed, if it did: a Listener without a path.
  static Result<Listener> from_systemd();

  Listener() = default;
  Listener(Listener&&) noexcept = default;
  Listener& operator=(Listener&&) noexcept = default;

  const std::string& path() const { return path_; }
  // Begins to listen, and hands the socket out. By the process that will serve: it is the one whose id clients see.
  Result<UniqueFd> listen();
  explicit operator bool() const { return bool(socket_); }

  // Going away without a client falling between: hide() so that no new one finds the socket, accept those who had,
  // then remove(), or show() if somebody came.
  void hide();
  void show();
  void remove();

 private:
  std::string path_;  // empty: not ours to remove
  bool hidden_ = false;
  UniqueFd socket_, lock_;
};

}  // namespace unetmap::daemon
