// SPDX-License-Identifier: BSD-2-Clause
// A netmap descriptor, as this process has it: its numbers, whether its daemon lives, and what it is bound to.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "base/fd.hh"
#include "base/result.hh"
#include "client/descriptor/bound.hh"
#include "client/link/connection.hh"
#include "wire/messages.hh"

namespace unetmap::client {

class Descriptor : public Connection, public std::enable_shared_from_this<Descriptor> {
 public:
  explicit Descriptor(int fd) : numbers_{fd} { fd_.store(fd, std::memory_order_relaxed); }

  void expect_number();  // takes the memory that add_number needs
  void add_number(int fd);
  bool remove_number(int fd);  // true when that was the last
  void closing(int fd);        // after that, before the number is really closed

  // What it is bound to, nullptr if not registered as far as known; `ask_daemon`: another process may have done it.
  Bound* bound(bool ask_daemon);
  Bound* bound_now() const { return bound_.load(std::memory_order_acquire); }
  Result<Bound*> bind(const wire::BindInfo& info, std::vector<UniqueFd>& fds);
  // A registration that failed half way: the daemon forgets it too.
  void unbind();

  // The daemon is looked for every now and then, and its death remembered.
  bool daemon_alive();
  bool dead() const { return dead_.load(std::memory_order_relaxed); }
  void mark_dead();

  std::mutex control_mutex;
  std::atomic<bool> shared{false};  // with a process forked off: others may use it after we close it

 private:
  std::vector<int> numbers_;
  std::atomic<Bound*> bound_{nullptr};
  std::unique_ptr<Bound> bound_owner_;
  std::vector<std::unique_ptr<Bound>> unbound_;  // that another thread may be looking at
  std::atomic<uint64_t> alive_checked_ms_{0};
  std::atomic<bool> dead_{false};
};

}  // namespace unetmap::client
