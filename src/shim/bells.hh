// SPDX-License-Identifier: BSD-2-Clause
// How a thread sleeps until one of some netmap descriptors rings.
//
// A doorbell is an eventfd which several threads, epoll sets and processes may wait for at once. If each drained it
// after waking, one would take away another's wake-up. So nobody ever drains: every waiter has an epoll instance of its
// own in which the doorbells are registered edge-triggered, and each ring is an edge in each of them. The counter of an
// eventfd does not overflow in any life time.
//
// A thread keeps its instance, with what it waited for before, from one wait to the next: sleeping costs one system
// call. Beside the doorbell stands the descriptor itself with no events wanted: it reports the daemon's end.
//
// A long time limit is kept by a timer in the instance, not given with each call: who waits for packets says a second again
// and again, and setting a time limit up and taking it down costs a good part of a short sleep. A timer set by an
// earlier sleep may serve; if it goes off too early, once, the wait goes on.
#pragma once

#include <signal.h>
#include <sys/epoll.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "client/descriptor/calls.hh"

namespace unetmap::shim {

class Bells {
 public:
  Bells() = default;
  Bells(const Bells&) = delete;
  Bells& operator=(const Bells&) = delete;
  ~Bells();

  // The epoll instance, for a poll set with other descriptors; -1 with errno if there is none to be had.
  int instance();
  // To be called for each descriptor to wait for, before arming it. False with errno if that failed; EBADF: `fd` has
  // been closed behind our back.
  bool listen(int fd, client::Descriptor& d);
  // Sleeps until a bell rings, something ended, or the time is over: 1, 1, 0; -1 with errno.
  // A cancellation point.
  int sleep(int64_t timeout_ns, const sigset_t* sigmask);
  // Forgets what rang so far, without sleeping.
  void clear();
  // True if the daemon of `fd` was seen to have gone. Ask after sleep() or clear().
  bool ended(int fd) const { return ended_fd_ == fd; }

 private:
  struct Listening {
    int fd = -1;
    int doorbell = -1;
    client::Descriptor* descriptor = nullptr;
    std::weak_ptr<client::Descriptor> alive;  // while it is, `descriptor` is the one that was registered
  };
  void look_at(const epoll_event* events, int count);
  bool limit_by_timer(int64_t timeout_ns);
  bool add(int fd, uint32_t events, uint64_t data);
  void drop_after_fork();

  int epfd_ = -1;
  int timer_ = -1;
  int64_t timer_end_ns_ = 0;  // when it goes off, on the monotonic clock; 0: it is not set
  uint32_t process_ = 0;  // which fork of the process made epfd_
  int ended_fd_ = -1;
  std::vector<Listening> listening_;  // direct-mapped by descriptor number
};

// The calling thread's, or for the inner one of nested uses (a signal handler that polls) a temporary of its own.
class ThreadBells {
 public:
  ThreadBells();
  ~ThreadBells();
  ThreadBells(const ThreadBells&) = delete;
  ThreadBells& operator=(const ThreadBells&) = delete;
  Bells* operator->() { return bells_; }
  Bells& operator*() { return *bells_; }

 private:
  std::optional<Bells> temporary_;
  Bells* bells_;
};

}  // namespace unetmap::shim
