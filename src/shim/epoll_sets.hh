// SPDX-License-Identifier: BSD-2-Clause
// Epoll sets that hold netmap descriptors.
//
// The kernel's epoll instance does not know when a netmap descriptor is ready: that takes a sync in this process. So
// the netmap members of a set are kept here, and epoll_wait asks them itself. What stands in the kernel's instance for
// all of them is one more epoll instance, `bells`, under a private tag: it holds their doorbells (edge-triggered, never
// drained, see bells.hh), the descriptors themselves (for the daemon's end), and an eventfd of the set, `own_bell`.
//
// Hence a thread that sleeps in the kernel on the set, on another set that holds it, or polls its descriptor, wakes
// when a member's doorbell rings. Before that sleep the members are synced: if one is ready own_bell is rung, else they
// are armed. A thread that takes the bells' edges and leaves hands on to the next sleeper by ringing own_bell.
//
// Sets are never freed, only used again: a thread may still be about to look at one that another thread closes.
#pragma once

#include <signal.h>
#include <sys/epoll.h>

#include <cstdint>

#include "client/descriptor/calls.hh"

namespace unetmap::shim {

// --- bookkeeping of descriptor numbers; after the system call succeeded, closed: before it ---
void epoll_set_created(int epfd) noexcept;
void epoll_number_closed(int fd) noexcept;
void epoll_number_duplicated(int from, int to) noexcept;
bool is_epoll_number(int fd) noexcept;

// --- contents; as epoll_ctl(2) ---
// For `fd` a netmap descriptor.
int control_member(int epfd, int op, int fd, client::Descriptor& d, const epoll_event* event);
// After the kernel accepted `op` for another descriptor.
void note_other(int epfd, int op, int fd) noexcept;
// `d` was just registered: its doorbell joins the sets that hold it.
void note_registered(client::Descriptor& d) noexcept;

// --- waiting ---
// True if the set has, or once had, netmap members, or holds other sets while any set has netmap members.
bool epoll_set_active(int epfd) noexcept;
// Makes what the kernel says of the set's readability true until a doorbell rings: call before sleeping on it.
void refresh_epoll_set(int epfd) noexcept;
// As epoll_pwait2(2) on an active set. Errno is kept on success. A cancellation point.
int wait_on_set(int epfd, epoll_event* events, int max_events, int64_t timeout_ns, const sigset_t* sigmask);
// Takes the private tags out of what the kernel reported; returns how many events are left.
int strip_tags(epoll_event* events, int count) noexcept;

// While it lives, this thread may sleep on the descriptor of a set, or on something that holds it.
class NestedSleep {
 public:
  explicit NestedSleep(bool really) noexcept;
  ~NestedSleep();
  NestedSleep(const NestedSleep&) = delete;
  NestedSleep& operator=(const NestedSleep&) = delete;

 private:
  bool really_;
};

}  // namespace unetmap::shim
