// SPDX-License-Identifier: BSD-2-Clause
#include "shim/wait.hh"

#include <cstdlib>
#include <optional>

#include "client/descriptor/calls.hh"
#include "ring/probes.hh"
#include "shim/bells.hh"
#include "shim/client_state.hh"
#include "shim/deadline.hh"
#include "shim/epoll_sets.hh"
#include "shim/next.hh"

namespace unetmap::shim {
namespace {

// The set that goes to the kernel: the program's descriptors, netmap's among them with no events wanted (which leaves
// the report that the daemon has ended), and the bells' epoll instance.
class KernelSet {
 public:
  explicit KernelSet(nfds_t n) : fds_(n <= kOnStack ? small_ : static_cast<pollfd*>(malloc(n * sizeof(pollfd)))) {}
  ~KernelSet() {
    if (fds_ != small_) free(fds_);
  }
  KernelSet(const KernelSet&) = delete;
  KernelSet& operator=(const KernelSet&) = delete;
  explicit operator bool() const { return fds_ != nullptr; }
  pollfd* data() { return fds_; }
  pollfd& operator[](nfds_t i) { return fds_[i]; }

 private:
  static constexpr nfds_t kOnStack = 65;
  pollfd small_[kOnStack];
  pollfd* fds_;
};

class Wait {
 public:
  Wait(pollfd* fds, nfds_t n, const sigset_t* sigmask, KernelSet& kernel)
      : fds_(fds), n_(n), sigmask_(sigmask), kernel_(kernel) {}

  // `looked`: the one descriptor was synced just now, and not ready.
  int run(Deadline& deadline, bool looked);

 private:
  int look();
  void note_looked();
  bool likely() const;
  int spin();
  bool arm(int64_t* sleep_ns);
  int ask_kernel(int64_t sleep_ns);
  int finish(bool kernel_asked, bool slept);

  pollfd* fds_;
  const nfds_t n_;
  const sigset_t* sigmask_;
  KernelSet& kernel_;
  ThreadBells bells_;
  bool others_ = false, nested_ = false, stale_ = false;
  int netmap_count_ = 0;
};

// Syncs the netmap descriptors and sets their revents; returns how many are ready, or -1 with errno. Descriptors may
// come and go meanwhile, so each round looks anew at what they are.
int Wait::look() {
  int ready = 0;
  others_ = nested_ = false;
  netmap_count_ = 0;
  for (nfds_t i = 0; i < n_; i++) {
    kernel_[i] = {fds_[i].fd, fds_[i].events, 0};
    fds_[i].revents = 0;
    int fd = fds_[i].fd;
    if (fd < 0) continue;
    if (client::Descriptor* d = client::peek(fd)) {
      kernel_[i].events = 0;
      fds_[i].revents = client::sync_events(*d, fds_[i].events);
      ready += fds_[i].revents != 0;
      netmap_count_++;
    } else if (client::unknown_for_want_of_memory(fd)) {
      return -1;
    } else if (epoll_set_active(fd)) {
      refresh_epoll_set(fd);
      nested_ = true;
    } else {
      others_ = true;
    }
  }
  return ready;
}

// What look() leaves behind where it finds one netmap descriptor, not ready.
void Wait::note_looked() {
  kernel_[0] = {fds_[0].fd, 0, 0};
  netmap_count_ = 1;
}

// Whether another look may find more, after arming. What the kernel looks at, it looks at itself.
bool Wait::likely() const {
  for (nfds_t i = 0; i < n_; i++) {
    client::Descriptor* d = fds_[i].fd < 0 ? nullptr : client::peek(fds_[i].fd);
    if (d && client::likely(*d, fds_[i].events)) return true;
  }
  return nested_;
}

// Spins for each of a few netmap descriptors, if there is nothing else to look at meanwhile. Those for which it does
// not pay cost little: the client remembers. Returns how many are ready.
int Wait::spin() {
  constexpr int kAtMost = 4;
  if (others_ || nested_ || netmap_count_ > kAtMost) return 0;
  for (nfds_t i = 0; i < n_; i++) {
    client::Descriptor* d = fds_[i].fd < 0 ? nullptr : client::peek(fds_[i].fd);
    if (!d || !client::spin(*d, fds_[i].events)) continue;
    if (int ready = look()) return ready;
  }
  return 0;
}

// False with errno if that failed. May shorten the sleep.
bool Wait::arm(int64_t* sleep_ns) {
  if (netmap_count_ == 0) return true;
  if (bells_->instance() < 0) return false;
  for (nfds_t i = 0; i < n_; i++) {
    int fd = fds_[i].fd;
    client::Descriptor* d = fd < 0 ? nullptr : client::peek(fd);
    if (!d) continue;
    if (!bells_->listen(fd, *d)) {
      if (errno != EBADF) return false;
      stale_ = true;  // closed by a system call that we did not see; the kernel will say so
    }
    client::arm(*d, fds_[i].events);
    *sleep_ns = limit_sleep(*d, *sleep_ns);
  }
  return true;
}

// Whether a signal can be the program's concern. Not cheap.
bool handles_signals() {
  for (int number = 1; number < _NSIG; number++) {
    struct sigaction action;
    if (sigaction(number, nullptr, &action) == 0 && action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN)
      return true;
  }
  return false;
}

int Wait::ask_kernel(int64_t sleep_ns) {
  if (!others_ && !nested_ && !stale_ && sleep_ns != 0) {
    int r = bells_->sleep(sleep_ns, sigmask_);
    // Stopped and continued: epoll_wait ends at that, poll does not. Where there are handlers one may have run instead.
    return r < 0 && errno == EINTR && !handles_signals() ? 0 : r;
  }
  nfds_t n = n_;
  if (sleep_ns != 0 && netmap_count_ > 0) kernel_[n++] = {bells_->instance(), POLLIN, 0};
  timespec timeout = timespec_of(sleep_ns < 0 ? 0 : sleep_ns);
  std::optional<probe::Sleep> shown;
  if (sleep_ns != 0) shown.emplace(sleep_ns);
  int r = next::ppoll(kernel_.data(), n, sleep_ns < 0 ? nullptr : &timeout, sigmask_);
  if (r > 0 && n > n_ && kernel_[n_].revents) bells_->clear();
  return r;
}

// Puts the kernel's findings and ours together; returns how many are ready.
int Wait::finish(bool kernel_asked, bool slept) {
  int ready = 0;
  for (nfds_t i = 0; i < n_; i++) {
    int fd = fds_[i].fd;
    if (fd < 0) continue;
    if (client::Descriptor* d = client::peek(fd)) {
      if (slept) fds_[i].revents = client::sync_events(*d, fds_[i].events);
      if (kernel_[i].revents & POLLNVAL)
        fds_[i].revents = POLLNVAL;
      else if ((kernel_[i].revents & (POLLHUP | POLLERR)) || (slept && bells_->ended(fd))) {
        daemon_ended(*d);
        fds_[i].revents |= POLLERR;
      }
    } else if (kernel_asked) {
      fds_[i].revents = kernel_[i].revents;
      if (slept && fds_[i].revents && epoll_set_active(fd)) {
        // A doorbell inside may have rung for nothing, or for a thread that was faster.
        refresh_epoll_set(fd);
        pollfd again{fd, fds_[i].events, 0};
        next::poll(&again, 1, 0);
        fds_[i].revents = again.revents;
      }
    }
    ready += fds_[i].revents != 0;
  }
  return ready;
}

int Wait::run(Deadline& deadline, bool looked) {
  if (looked) note_looked();
  for (;; looked = false) {
    int64_t sleep_ns = 0;
    int ready = looked ? 0 : look();
    if (ready < 0) return -1;
    if (ready == 0 && !deadline.immediate()) {
      ready = spin();
      if (ready < 0) return -1;
      sleep_ns = ready ? 0 : deadline.left();
      if (sleep_ns != 0) {
        if (!arm(&sleep_ns)) return -1;
        ready = likely() ? look() : 0;
        if (ready < 0) return -1;
        if (ready) sleep_ns = 0;
      }
    }
    NestedSleep in_nested(nested_ && sleep_ns != 0);
    bool ask = others_ || nested_ || sleep_ns != 0 || (ready == 0 && sigmask_);
    if (ask) {
      int r = ask_kernel(sleep_ns);
      if (r < 0 && ready == 0) return -1;
      if (r < 0) ask = false;
    }
    int total = finish(ask, sleep_ns != 0);
    if (total > 0 || sleep_ns == 0) return total;
  }
}

}  // namespace

bool concerns_us(int fd) {
  return client::peek(fd) != nullptr || epoll_set_active(fd) || client::unknown_for_want_of_memory(fd);
}

int wait_for(pollfd* fds, nfds_t n, int64_t timeout_ns, const sigset_t* sigmask, bool looked) {
  int saved_errno = errno;
  KernelSet kernel(n + 1);
  if (!kernel) {
    errno = ENOMEM;
    return -1;
  }
  Deadline deadline(timeout_ns);
  int ready = Wait(fds, n, sigmask, kernel).run(deadline, looked);
  if (ready >= 0) errno = saved_errno;
  return ready;
}

}  // namespace unetmap::shim
