// SPDX-License-Identifier: BSD-2-Clause
// poll and ppoll.
#include <poll.h>

#include "client/descriptor/calls.hh"
#include "shim/deadline.hh"
#include "shim/known_pages.hh"
#include "shim/next.hh"
#include "shim/wait.hh"

namespace unetmap::shim {
namespace {

constinit Next<int(pollfd*, nfds_t, int, size_t)> next_poll_chk{"__poll_chk"};
constinit Next<int(pollfd*, nfds_t, const timespec*, const sigset_t*, size_t)> next_ppoll_chk{"__ppoll_chk"};

// One netmap descriptor and nothing else, how packets are moved: ready at once is a sync and two loads. Returns false
// if it is none.
inline bool poll_one(pollfd* fds, int64_t timeout_ns, const sigset_t* sigmask, int* result) {
  client::Descriptor* d = fds->fd < 0 ? nullptr : client::peek(fds->fd);
  if (!d) return false;
  int saved_errno = errno;
  short ready = client::sync_events(*d, fds->events);
  errno = saved_errno;
  fds->revents = ready;
  if (ready || (timeout_ns == 0 && !sigmask))
    *result = ready != 0;
  else
    *result = wait_for(fds, 1, timeout_ns, sigmask, true);
  return true;
}

// What the kernel will refuse is its own to look at.
bool may_be_ours(pollfd* fds, nfds_t n) {
  constexpr nfds_t kMost = nfds_t{1} << 28;  // more than there can be descriptors
  return n <= kMost && readable(fds, n * sizeof *fds) && any_concerns_us(fds, n) && writable(fds, n * sizeof *fds);
}

inline bool ours(pollfd* fds, nfds_t n, int64_t timeout_ns, const sigset_t* sigmask, int* result) {
  if ((n != 1 || !known_writable(fds, sizeof *fds)) && !may_be_ours(fds, n)) return false;
  if (n == 1 && poll_one(fds, timeout_ns, sigmask, result)) [[likely]]
    return true;
  if (n == 1 && !any_concerns_us(fds, n)) return false;
  *result = wait_for(fds, n, timeout_ns, sigmask);
  return true;
}

// False for a time that the kernel is to refuse.
inline bool ns_of_ppoll(const timespec* timeout, int64_t* ns) {
  if (timeout && !valid(*timeout)) return false;
  *ns = timeout ? ns_of(timeout->tv_sec, timeout->tv_nsec) : kForever;
  return true;
}

}  // namespace

extern "C" {

int shim_poll(pollfd* fds, nfds_t n, int timeout_ms) UNETMAP_INTERPOSE(poll);
int shim_poll(pollfd* fds, nfds_t n, int timeout_ms) {
  int result;
  if (ours(fds, n, ns_of_ms(timeout_ms), nullptr, &result)) return result;
  return next::poll(fds, n, timeout_ms);
}

int shim_poll_chk(pollfd* fds, nfds_t n, int timeout_ms, size_t size) UNETMAP_INTERPOSE(__poll_chk);
int shim_poll_chk(pollfd* fds, nfds_t n, int timeout_ms, size_t size) {
  int result;
  if (size / sizeof(pollfd) >= n && ours(fds, n, ns_of_ms(timeout_ms), nullptr, &result)) return result;
  return next_poll_chk(fds, n, timeout_ms, size);
}

int shim_ppoll(pollfd* fds, nfds_t n, const timespec* timeout, const sigset_t* sigmask) UNETMAP_INTERPOSE(ppoll);
int shim_ppoll(pollfd* fds, nfds_t n, const timespec* timeout, const sigset_t* sigmask) {
  int64_t ns;
  int result;
  if (ns_of_ppoll(timeout, &ns) && ours(fds, n, ns, sigmask, &result)) return result;
  return next::ppoll(fds, n, timeout, sigmask);
}

int shim_ppoll_chk(pollfd* fds, nfds_t n, const timespec* timeout, const sigset_t* sigmask, size_t size)
    UNETMAP_INTERPOSE(__ppoll_chk);
int shim_ppoll_chk(pollfd* fds, nfds_t n, const timespec* timeout, const sigset_t* sigmask, size_t size) {
  int64_t ns;
  int result;
  if (size / sizeof(pollfd) >= n && ns_of_ppoll(timeout, &ns) && ours(fds, n, ns, sigmask, &result)) return result;
  return next_ppoll_chk(fds, n, timeout, sigmask, size);
}

}  // extern "C"

}  // namespace unetmap::shim
