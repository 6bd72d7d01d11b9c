// SPDX-License-Identifier: BSD-2-Clause
// select and pselect.
#include <fcntl.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/fd.hh"
#include "shim/deadline.hh"
#include "shim/known_pages.hh"
#include "shim/next.hh"
#include "shim/own_process.hh"
#include "shim/select_sets.hh"
#include "shim/wait.hh"

namespace unetmap::shim {
namespace {

constinit Next<int(int, fd_set*, fd_set*, fd_set*, timeval*)> next_select{"select"};
constinit Next<int(int, fd_set*, fd_set*, fd_set*, const timespec*, const sigset_t*)> next_pselect{"pselect"};

class PollSet {
 public:
  explicit PollSet(const SelectSets& sets) : n_(sets.count()) {
    fds_ = n_ <= kOnStack ? small_ : static_cast<pollfd*>(malloc(n_ * sizeof(pollfd)));
    size_t i = 0;
    if (fds_)
      sets.each([&](int fd, short events) {
        fds_[i++] = {fd, events, 0};
        return true;
      });
  }
  ~PollSet() {
    if (fds_ != small_) free(fds_);
  }
  PollSet(const PollSet&) = delete;
  PollSet& operator=(const PollSet&) = delete;
  pollfd* data() { return fds_; }
  size_t size() const { return n_; }

 private:
  static constexpr size_t kOnStack = 64;
  size_t n_;
  pollfd small_[kOnStack];
  pollfd* fds_;
};

bool any_concerns_us(int nfds, fd_set* in, fd_set* out, fd_set* except) {
  // Sets longer than fd_set are looked at as far as our descriptors go: programs pass a large nfds with short sets.
  nfds = std::min(nfds, std::max(FD_SETSIZE, highest_number() + 1));
  const size_t bytes = size_t((nfds + SelectSet::kBits - 1) / SelectSet::kBits) * sizeof(unsigned long);
  // What the kernel will refuse is its own to look at.
  auto all = [&](bool (*usable)(const void*, size_t)) {
    return (!in || usable(in, bytes)) && (!out || usable(out, bytes)) && (!except || usable(except, bytes));
  };
  return all(readable) && !SelectSets(nfds, in, out, except).each([](int fd, short) { return !concerns_us(fd); }) &&
         all(writable);
}

// The kernel reads no more bits than the descriptor table has places, so nor may we.
int kernel_nfds(int nfds) {
  if (nfds <= FD_SETSIZE) return nfds;
  char text[4096];
  UniqueFd status(int(syscall(SYS_openat, AT_FDCWD, "/proc/self/status", O_RDONLY | O_CLOEXEC)));
  long n = status ? syscall(SYS_read, status.get(), text, sizeof text - 1) : -1;
  if (n <= 0) return FD_SETSIZE;
  text[n] = 0;
  const char* found = strstr(text, "\nFDSize:");
  return found ? std::min(nfds, atoi(found + 8)) : FD_SETSIZE;
}

int select_for(SelectSets sets, Deadline& deadline, const sigset_t* sigmask) {
  PollSet set(sets);
  if (!set.data()) {
    errno = ENOMEM;
    return -1;
  }
  for (;;) {
    int64_t left = deadline.left();
    int ready = wait_for(set.data(), set.size(), left, sigmask);
    if (ready < 0) return -1;
    bool any = false;
    for (size_t i = 0; i < set.size(); i++) {
      pollfd& p = set.data()[i];
      if (p.fd < 0 || p.revents == 0) continue;
      if (p.revents & POLLNVAL) {
        errno = EBADF;
        return -1;
      }
      if (SelectSets::reported(p.events, p.revents)) any = true;
      // A hang-up, which poll reports unasked and select does not here. It would end every further wait at once.
      else
        p.fd = -1;
    }
    if (any || ready == 0) return sets.store(set.data(), set.size());
  }
}

}  // namespace

extern "C" {

int shim_select(int nfds, fd_set* in, fd_set* out, fd_set* except, timeval* timeout) UNETMAP_INTERPOSE(select);
int shim_select(int nfds, fd_set* in, fd_set* out, fd_set* except, timeval* timeout) {
  if (nfds <= 0 || (timeout && (timeout->tv_sec < 0 || timeout->tv_usec < 0)) ||
      !any_concerns_us(nfds, in, out, except))
    return next_select(nfds, in, out, except, timeout);
  // Microseconds beyond a second count, as in the C library.
  Deadline deadline(timeout ? ns_of(timeout->tv_sec + timeout->tv_usec / 1000000, timeout->tv_usec % 1000000 * 1000)
                            : kForever);
  if (timeout) (void)deadline.left();  // starts now
  int ready = select_for({kernel_nfds(nfds), in, out, except}, deadline, nullptr);
  if (timeout) {
    // Linux leaves the time not slept there, also after a failure.
    timespec left = timespec_of(deadline.left());
    *timeout = {left.tv_sec, left.tv_nsec / 1000};
  }
  return ready;
}

int shim_pselect(int nfds, fd_set* in, fd_set* out, fd_set* except, const timespec* timeout, const sigset_t* sigmask)
    UNETMAP_INTERPOSE(pselect);
int shim_pselect(int nfds, fd_set* in, fd_set* out, fd_set* except, const timespec* timeout, const sigset_t* sigmask) {
  if (nfds <= 0 || (timeout && !valid(*timeout)) || !any_concerns_us(nfds, in, out, except))
    return next_pselect(nfds, in, out, except, timeout, sigmask);
  Deadline deadline(timeout ? ns_of(timeout->tv_sec, timeout->tv_nsec) : kForever);
  return select_for({kernel_nfds(nfds), in, out, except}, deadline, sigmask);
}

}  // extern "C"

}  // namespace unetmap::shim
