// SPDX-License-Identifier: BSD-2-Clause
// Descriptor number -> EpollSet, and all sets there are. See epoll_sets.hh; internal to the epoll files of the shim.
#pragma once

#include <atomic>
#include <cstdint>

#include "shim/epoll_set.hh"

namespace unetmap::shim {

// Sets with netmap members, and threads in a NestedSleep.
extern std::atomic<uint32_t> active_sets;
extern std::atomic<uint32_t> nested_sleepers;

// The set behind a number, nullptr if it is none.
EpollSet* epoll_set_at(int fd) noexcept;
// All sets, in use or not, linked by `next`.
EpollSet* first_epoll_set() noexcept;
// To be called before a set gets its first netmap member.
void keep_sets_over_fork() noexcept;

// Keeps a set from being used for another epoll instance meanwhile.
class SetRef {
 public:
  explicit SetRef(int epfd) {
    while ((set_ = epoll_set_at(epfd))) {
      set_->users.fetch_add(1, std::memory_order_seq_cst);
      if (epoll_set_at(epfd) == set_) return;
      set_->users.fetch_sub(1, std::memory_order_release);
    }
  }
  ~SetRef() {
    if (set_) set_->users.fetch_sub(1, std::memory_order_release);
  }
  SetRef(const SetRef&) = delete;
  SetRef& operator=(const SetRef&) = delete;
  explicit operator bool() const { return set_ != nullptr; }
  EpollSet* operator->() const { return set_; }
  EpollSet& operator*() const { return *set_; }

 private:
  EpollSet* set_;
};

// Refreshes the sets in `set`, see refresh_epoll_set().
void refresh_children(EpollSet& set, int depth) noexcept;

}  // namespace unetmap::shim
