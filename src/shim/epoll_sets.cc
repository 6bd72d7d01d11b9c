// SPDX-License-Identifier: BSD-2-Clause
#include "shim/epoll_sets.hh"

#include <new>

#include "client/memory/user_memory.hh"
#include "shim/deadline.hh"
#include "shim/epoll_set.hh"
#include "shim/epoll_table.hh"
#include "shim/next.hh"

namespace unetmap::shim {
namespace {

constexpr int kMaxDepth = 6;  // the kernel nests epoll sets no deeper

// With the set's mutex held: somebody may sleep on what has just changed.
void wake_sleepers(EpollSet& set) {
  if (set.sleepers.load(std::memory_order_relaxed) || nested_sleepers.load(std::memory_order_relaxed))
    set.ring_own_bell();
}

void refresh(EpollSet& set, int depth) {
  refresh_children(set, depth);
  if (!set.active.load(std::memory_order_acquire)) return;
  std::lock_guard hold(set.mutex);
  if (set.any_due()) {
    set.ring_own_bell();
    return;
  }
  set.take_bells();
  set.arm(kForever);
  if (set.any_due()) set.ring_own_bell();
}

}  // namespace

void refresh_children(EpollSet& set, int depth) noexcept {
  if (set.children.load(std::memory_order_relaxed) == 0 || depth >= kMaxDepth) return;
  for (size_t i = 0;; i++) {
    EpollSet::Child child;
    {
      std::lock_guard hold(set.mutex);
      if (i >= set.child_list.size()) return;
      child = set.child_list[i];
    }
    SetRef ref(child.fd);
    if (ref && &*ref == child.set && ref->life.load(std::memory_order_relaxed) == child.life) refresh(*ref, depth + 1);
  }
}

int control_member(int epfd, int op, int fd, client::Descriptor& d, const epoll_event* event) {
  epoll_event wanted{};
  if (op != EPOLL_CTL_DEL && client::load_user(reinterpret_cast<uintptr_t>(event), wanted) != 0) {
    errno = EFAULT;
    return -1;
  }
  bool unknown = op == EPOLL_CTL_ADD && !is_epoll_number(epfd);
  // Inherited, or made by a system call that we did not see. The kernel will say whether it is one at all.
  if (unknown) epoll_set_created(epfd);
  int result;
  {
    SetRef set(epfd);
    if (!set) return next::epoll_ctl(epfd, op, fd, const_cast<epoll_event*>(event));
    keep_sets_over_fork();
    int saved_errno = errno;
    std::lock_guard hold(set->mutex);
    if (op == EPOLL_CTL_ADD)
      result = set->add(epfd, fd, d, wanted);
    else if (op == EPOLL_CTL_MOD)
      result = set->modify(fd, d, wanted);
    else if (op == EPOLL_CTL_DEL)
      result = set->remove(fd, d);
    else
      errno = EINVAL, result = -1;
    if (result == 0) {
      errno = saved_errno;
      if (unknown) set->others.store(1 << 30, std::memory_order_relaxed);
      if (!set->active.exchange(true, std::memory_order_acq_rel)) {
        active_sets.fetch_add(1, std::memory_order_seq_cst);
        // Threads may sleep in the kernel on what was its set alone, and did not say so.
        set->ring_own_bell();
      }
      wake_sleepers(*set);
      return 0;
    }
  }
  if (unknown) epoll_number_closed(epfd);
  // What was put there before this library was: the kernel's own.
  if (errno == ENOENT && op != EPOLL_CTL_ADD) return next::epoll_ctl(epfd, op, fd, const_cast<epoll_event*>(event));
  return result;
}

void note_other(int epfd, int op, int fd) noexcept {
  if (op != EPOLL_CTL_ADD && op != EPOLL_CTL_DEL) return;
  SetRef set(epfd);
  if (!set) return;
  KeepErrno keep;
  if (op == EPOLL_CTL_ADD)
    set->others.fetch_add(1, std::memory_order_relaxed);
  else if (set->others.load(std::memory_order_relaxed) > 0)
    set->others.fetch_sub(1, std::memory_order_relaxed);
  SetRef child(fd);
  if (!child) return;
  std::lock_guard hold(set->mutex);
  std::erase_if(set->child_list, [&](const EpollSet::Child& c) { return c.fd == fd; });
  if (op == EPOLL_CTL_ADD) {
    try {
      set->child_list.push_back({fd, &*child, child->life.load(std::memory_order_relaxed)});
    } catch (const std::bad_alloc&) {
      // Then a wait on the outer set only learns of the inner one when its doorbells ring.
    }
  }
  set->children.store(uint32_t(set->child_list.size()), std::memory_order_relaxed);
}

void note_registered(client::Descriptor& d) noexcept {
  if (active_sets.load(std::memory_order_seq_cst) == 0) return;
  for (EpollSet* set = first_epoll_set(); set; set = set->next) {
    if (!set->active.load(std::memory_order_acquire)) continue;
    std::lock_guard hold(set->mutex);
    if (set->registered(d)) wake_sleepers(*set);
  }
}

bool epoll_set_active(int epfd) noexcept {
  if (active_sets.load(std::memory_order_relaxed) == 0) return false;
  EpollSet* set = epoll_set_at(epfd);
  return set && (set->active.load(std::memory_order_acquire) || set->children.load(std::memory_order_relaxed));
}

void refresh_epoll_set(int epfd) noexcept {
  KeepErrno keep;
  SetRef set(epfd);
  if (set) refresh(*set, 0);
}

NestedSleep::NestedSleep(bool really) noexcept : really_(really) {
  if (really_) nested_sleepers.fetch_add(1, std::memory_order_seq_cst);
}
NestedSleep::~NestedSleep() {
  if (really_) nested_sleepers.fetch_sub(1, std::memory_order_seq_cst);
}

}  // namespace unetmap::shim
