// SPDX-License-Identifier: BSD-2-Clause
// Unix sockets by name: offered, and reached.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <functional>
#include <string>

#include "base/fd.hh"
#include "base/result.hh"
#include "worker/loop.hh"

namespace unetmap::worker {

// EINVAL or ENAMETOOLONG for what cannot name a socket from anywhere: names begin with '/'.
Result<sockaddr_un> unix_address(const std::string& path);

// A non-blocking socket bound to `path`, listening if `type` has connections. What a dead process left there is
// replaced; EADDRINUSE if a process serves it (not looked at when `resume`: it is our dying predecessor), EEXIST if it
// is no socket.
Result<UniqueFd> bind_unix(const std::string& path, int type, bool resume);

// A non-blocking socket connected to `path`.
Result<UniqueFd> connect_unix(const std::string& path, int type);

// One connection at a time, of whichever side opens it. A server takes the next one when the first is over; a client
// tries again and again, after pauses of up to a second. When a connection ends at once, the pauses go on, and nothing
// is said of those that follow, until one lasts, or something came over it.
class Link {
 public:
  struct Handlers {
    std::function<void(UniqueFd)> connected;          // ours from now on; say closed() when it is over
    std::function<void(const std::string&)> waiting;  // how things stand, in words, on each change
    std::function<void()> settled = {};               // after connected: it is one to speak of
  };
  Link(Loop& loop, std::string path, bool server, Handlers handlers)
      : loop_(loop), path_(std::move(path)), server_(server), handlers_(std::move(handlers)) {}
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  // A server's error: the name cannot be had. A client has none.
  Result<void> start(bool resume);
  // Something came over the connection.
  void carried() {
    if (!proved_) [[unlikely]]
      prove();
  }
  // The connection that was handed out is over: on to the next.
  void closed();
  // Whether settled() was called for it: its end is worth a word.
  bool spoken_of() const { return spoken_of_; }
  bool server() const { return server_; }
  // Takes the name away.
  void remove();
  const std::string& path() const { return path_; }

 private:
  void take();
  void reach();
  void hand_out(UniqueFd fd);
  void prove();
  void pause();
  void say(const std::string& text);

  Loop& loop_;
  const std::string path_;
  const bool server_;
  Handlers handlers_;
  UniqueFd listener_;
  uint64_t timer_ = 0, lasts_ = 0;
  int64_t pause_ms_ = 0;
  bool proved_ = false;   // the connection there is, or was last: it lasted, or carried something
  bool cut_off_ = false;  // the one before was not
  bool spoken_of_ = false;
  std::string said_;
};

}  // namespace unetmap::worker
