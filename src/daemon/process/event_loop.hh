// SPDX-License-Identifier: BSD-2-Clause
// Descriptors and times that the daemon waits for, in its one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <unordered_map>

#include "base/fd.hh"
#include "base/result.hh"

namespace unetmap::daemon {

// By the clock that nobody sets.
int64_t now_ms();

class EventLoop {
 public:
  static Result<EventLoop> create();

  // Has `ready` called when `fd` is readable, or its other end is gone, until unwatch(). Both may be called from within
  // callbacks; who closes a descriptor that is watched unwatches it first.
  Result<void> watch(int fd, std::function<void()> ready);
  void unwatch(int fd);

  // Has `due` called once, after so many milliseconds. Returns what cancel() takes, never 0.
  uint64_t after(int64_t ms, std::function<void()> due);
  void cancel(uint64_t timer);

  // Waits at most `timeout_ms` (-1: without end) for something to do and does it. False when nothing came in time.
  Result<bool> step(int timeout_ms);

 private:
  UniqueFd epoll_;
  struct Watched {
    std::function<void()> ready;
    uint64_t since;
  };
  std::unordered_map<int, Watched> watched_;
  std::map<std::pair<int64_t, uint64_t>, std::function<void()>> timers_;  // by time, then number
  uint64_t last_timer_ = 0, turn_ = 0;
};

}  // namespace unetmap::daemon
