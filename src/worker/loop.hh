// SPDX-License-Identifier: BSD-2-Clause
// What a worker waits for: its switch port, any other descriptors, and times; one thread.
//
// While packets move the loop turns without system calls of its own, but for a look at the other descriptors now and
// then; with nothing to move it sleeps.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <unordered_map>
#include <vector>

#include "base/fd.hh"
#include "base/result.hh"

namespace unetmap::worker {

// What the loop drives.
class Turns {
 public:
  // Moves what there is now, of each direction a bounded batch. Returns whether anything moved.
  virtual bool turn() = 0;
  // Before sleeping: asks its peers to wake it (arms notifications), then looks once more. False: there is work, do not
  // sleep. The switch port needs no arming, poll does it.
  virtual bool before_sleep() { return true; }
  // After sleeping: it will look by itself again.
  virtual void after_sleep() {}
  // The sleep ends at this time at the latest (CLOCK_MONOTONIC, nanoseconds). Finer than Loop::after(): for devices'
  // timers.
  virtual uint64_t wake_ns() { return UINT64_MAX; }
  // POLLIN, POLLOUT: what of the switch port ends the sleep; 0 while the other side takes nothing.
  virtual short port_events() { return 1 /* POLLIN */; }

 protected:
  ~Turns() = default;
};

// CLOCK_MONOTONIC.
uint64_t now_ns();

class Loop {
 public:
  static Result<Loop> create();

  // Has `ready` called with the epoll events that came (of `events`, and EPOLLHUP, EPOLLERR). Callbacks may watch,
  // change and unwatch anything; who closes a descriptor unwatches it first. They run between turns.
  Result<void> watch(int fd, uint32_t events, std::function<void(uint32_t)> ready);
  void change(int fd, uint32_t events);
  void unwatch(int fd);
  // Has `due` called once after so many milliseconds; returns what cancel() takes, never 0.
  uint64_t after(int64_t ms, std::function<void()> due);
  void cancel(uint64_t timer);

  // A netmap descriptor that poll() sleeps on besides, the caller's; `turns` says for which events.
  void add_port(int netmap_fd, Turns& turns) { ports_.push_back({netmap_fd, &turns}); }
  void remove_port(int netmap_fd);
  // How long to go on looking, without sleeping, after the last packet, in microseconds; 0: not at all. Costs processor
  // time, and saves a peer a system call to wake us.
  void set_spin_us(uint32_t us) { spin_us_ = us; }

  // Until end(). Fails when the switch port's daemon is gone.
  Result<void> run(Turns& turns);
  void end() { ended_ = true; }

 private:
  void dispatch();
  void run_timers();
  uint64_t sleep_ns(uint64_t wake_ns) const;
  Result<void> sleep(uint64_t wake_ns);

  UniqueFd epoll_;
  struct Watched {
    std::function<void(uint32_t)> ready;
    uint64_t since;
  };
  std::unordered_map<int, Watched> watched_;
  std::map<std::pair<int64_t, uint64_t>, std::function<void()>> timers_;  // by time, then number
  uint64_t last_timer_ = 0, round_ = 0;
  struct Port {
    int fd;
    Turns* turns;
  };
  std::vector<Port> ports_;
  uint32_t spin_us_ = 0;
  bool ended_ = false;
};

}  // namespace unetmap::worker
