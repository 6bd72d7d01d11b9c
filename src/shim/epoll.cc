// SPDX-License-Identifier: BSD-2-Clause
// The epoll family. Sets without netmap descriptors are the kernel's alone.
#include <sys/epoll.h>

#include "client/descriptor/calls.hh"
#include "shim/deadline.hh"
#include "shim/epoll_sets.hh"
#include "shim/known_pages.hh"
#include "shim/next.hh"

namespace unetmap::shim {
namespace {

constinit Next<int(int)> next_create{"epoll_create"};
constinit Next<int(int)> next_create1{"epoll_create1"};

// A thread may sleep in the kernel when another puts the first netmap descriptor into the set. Returns true if there
// was something in what the kernel reported that is not the program's, and nothing else.
inline bool woken_for_us(int epfd, epoll_event* events, int* count) {
  if (*count <= 0 || !epoll_set_active(epfd)) [[likely]]
    return false;
  *count = strip_tags(events, *count);
  return *count == 0;
}

}  // namespace

extern "C" {

int shim_epoll_create(int size) UNETMAP_INTERPOSE(epoll_create);
int shim_epoll_create(int size) {
  int epfd = next_create(size);
  if (epfd >= 0) epoll_set_created(epfd);
  return epfd;
}

int shim_epoll_create1(int flags) UNETMAP_INTERPOSE(epoll_create1);
int shim_epoll_create1(int flags) {
  int epfd = next_create1(flags);
  if (epfd >= 0) epoll_set_created(epfd);
  return epfd;
}

int shim_epoll_ctl(int epfd, int op, int fd, epoll_event* event) UNETMAP_INTERPOSE(epoll_ctl);
int shim_epoll_ctl(int epfd, int op, int fd, epoll_event* event) {
  if (client::Descriptor* d = client::peek(fd)) return control_member(epfd, op, fd, *d, event);
  if (client::unknown_for_want_of_memory(fd)) return -1;
  int result = next::epoll_ctl(epfd, op, fd, event);
  if (result == 0) note_other(epfd, op, fd);
  return result;
}

int shim_epoll_wait(int epfd, epoll_event* events, int max, int timeout_ms) UNETMAP_INTERPOSE(epoll_wait);
int shim_epoll_wait(int epfd, epoll_event* events, int max, int timeout_ms) {
  if (!epoll_set_active(epfd)) [[likely]] {
    int n = next::epoll_wait(epfd, events, max, timeout_ms);
    if (!woken_for_us(epfd, events, &n)) return n;
  }
  return wait_on_set(epfd, events, max, ns_of_ms(timeout_ms), nullptr);
}

int shim_epoll_pwait(int epfd, epoll_event* events, int max, int timeout_ms, const sigset_t* sigmask)
    UNETMAP_INTERPOSE(epoll_pwait);
int shim_epoll_pwait(int epfd, epoll_event* events, int max, int timeout_ms, const sigset_t* sigmask) {
  if (!epoll_set_active(epfd)) [[likely]] {
    int n = next::epoll_pwait(epfd, events, max, timeout_ms, sigmask);
    if (!woken_for_us(epfd, events, &n)) return n;
  }
  return wait_on_set(epfd, events, max, ns_of_ms(timeout_ms), sigmask);
}

int shim_epoll_pwait2(int epfd, epoll_event* events, int max, const timespec* timeout, const sigset_t* sigmask)
    UNETMAP_INTERPOSE(epoll_pwait2);
int shim_epoll_pwait2(int epfd, epoll_event* events, int max, const timespec* timeout, const sigset_t* sigmask) {
  // The kernel refuses a time that is none.
  if (!epoll_set_active(epfd) || (timeout && (!readable(timeout, sizeof *timeout) || !valid(*timeout)))) [[likely]] {
    int n = next::epoll_pwait2(epfd, events, max, timeout, sigmask);
    if (!woken_for_us(epfd, events, &n)) return n;
  }
  int64_t ns = timeout ? ns_of(timeout->tv_sec, timeout->tv_nsec) : kForever;
  return wait_on_set(epfd, events, max, ns, sigmask);
}

}  // extern "C"

}  // namespace unetmap::shim
