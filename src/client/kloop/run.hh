// SPDX-License-Identifier: BSD-2-Clause
// The loop of a kloop, and what it is started with.
#pragma once

#include <utility>
#include <vector>

#include "base/fd.hh"
#include "client/descriptor/descriptor.hh"

namespace unetmap::client {

// A descriptor of the library's own, out of the application's reach.
class OwnFd {
 public:
  OwnFd() = default;
  explicit OwnFd(UniqueFd fd);
  OwnFd(OwnFd&& other) noexcept = default;
  OwnFd& operator=(OwnFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(error_, other.error_);
    return *this;
  }
  ~OwnFd();
  // Our copy of an eventfd of the application, which may close its own; none for a negative number.
  static OwnFd of_eventfd(int fd);

  int get() const { return fd_.get(); }
  explicit operator bool() const { return bool(fd_); }
  int error() const { return error_; }

 private:
  UniqueFd fd_;
  int error_ = 0;
};

struct KloopPlan {
  struct Pair {
    OwnFd kick, irq;
  };
  uint32_t sleep_us = 0;
  bool polling = true;
  bool direct_tx = false, direct_rx = false;
  std::vector<Pair> pairs;  // one per ring, tx first; or none at all
};

// Runs until stopped (see csb_word) or closed: 0. ENXIO when the daemon is gone, another errno value if it cannot
// sleep.
int run_kloop(Descriptor& d, Bound& bound, const KloopPlan& plan);

}  // namespace unetmap::client
