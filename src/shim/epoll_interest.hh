// SPDX-License-Identifier: BSD-2-Clause
// What a program asked of one netmap descriptor in an epoll set, and what it is to be told when.
#pragma once

#include <poll.h>
#include <sys/epoll.h>

#include <cstdint>

namespace unetmap::shim {

// The bits that poll(2) and epoll_ctl(2) share.
constexpr uint32_t kEpollInBits = EPOLLIN | EPOLLRDNORM | EPOLLRDBAND | EPOLLPRI;
constexpr uint32_t kEpollOutBits = EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND;
static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT && EPOLLPRI == POLLPRI && EPOLLERR == POLLERR &&
              EPOLLHUP == POLLHUP && EPOLLRDNORM == POLLRDNORM && EPOLLWRNORM == POLLWRNORM &&
              EPOLLRDBAND == POLLRDBAND && EPOLLWRBAND == POLLWRBAND);

class EpollInterest {
 public:
  EpollInterest() = default;
  explicit EpollInterest(const epoll_event& wanted) { modify(wanted); }

  // EPOLL_CTL_MOD: what is ready now is news again, and a one-shot interest is armed again.
  void modify(const epoll_event& wanted) {
    events_ = wanted.events;
    data_ = wanted.data;
    fresh_ = true;
    spent_ = false;
  }
  void refresh() { fresh_ = true; }

  // The events to sync and arm for, as poll(2) takes them.
  short wanted() const { return short(events_ & (kEpollInBits | kEpollOutBits)); }
  bool edge_triggered() const { return (events_ & EPOLLET) != 0; }
  // Reported once and not modified since: no more events, not even errors.
  bool spent() const { return spent_; }
  epoll_data_t data() const { return data_; }

  // `ready`: events that hold now. `activity_in`, `activity_out`: numbers that change with each arrival and with each
  // room that appears. Returns what epoll_wait is to report, 0 for nothing.
  uint32_t due(uint32_t ready, uint64_t activity_in, uint64_t activity_out) const {
    ready &= (events_ & (kEpollInBits | kEpollOutBits)) | EPOLLERR | EPOLLHUP;
    if (spent_ || ready == 0) return 0;
    if (!edge_triggered() || fresh_) return ready;
    bool news = ((ready & kEpollInBits) && activity_in != seen_in_) ||
                ((ready & kEpollOutBits) && activity_out != seen_out_) ||
                (ready & (EPOLLERR | EPOLLHUP) & ~seen_errors_);
    return news ? ready : 0;
  }
  // The program was told `reported`.
  void told(uint32_t reported, uint64_t activity_in, uint64_t activity_out) {
    fresh_ = false;
    seen_in_ = activity_in;
    seen_out_ = activity_out;
    seen_errors_ = reported & (EPOLLERR | EPOLLHUP);
    if (events_ & EPOLLONESHOT) spent_ = true;
  }

 private:
  uint32_t events_ = 0;
  epoll_data_t data_{};
  bool fresh_ = true;
  bool spent_ = false;
  uint64_t seen_in_ = 0, seen_out_ = 0;
  uint32_t seen_errors_ = 0;
};

}  // namespace unetmap::shim
