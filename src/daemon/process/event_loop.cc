// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/process/event_loop.hh"

#include <sys/epoll.h>

#include <algorithm>
#include <ctime>

namespace unetmap::daemon {
namespace {

constexpr int kEventsAtOnce = 64;

}  // namespace

int64_t now_ms() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

Result<EventLoop> EventLoop::create() {
  EventLoop loop;
  loop.epoll_ = UniqueFd(epoll_create1(EPOLL_CLOEXEC));
  if (!loop.epoll_) return Error::from_errno(errno, "epoll");
  return loop;
}

Result<void> EventLoop::watch(int fd, std::function<void()> ready) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) < 0) return Error::from_errno(errno, "epoll");
  watched_[fd] = {std::move(ready), turn_};
  return {};
}

void EventLoop::unwatch(int fd) {
  if (watched_.erase(fd)) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

uint64_t EventLoop::after(int64_t ms, std::function<void()> due) {
  timers_[{now_ms() + ms, ++last_timer_}] = std::move(due);
  return last_timer_;
}

void EventLoop::cancel(uint64_t timer) {
  std::erase_if(timers_, [&](auto& entry) { return entry.first.second == timer; });
}

Result<bool> EventLoop::step(int timeout_ms) {
  if (!timers_.empty()) {
    int left = int(std::clamp<int64_t>(timers_.begin()->first.first - now_ms(), 0, 1 << 30));
    if (timeout_ms < 0 || left < timeout_ms) timeout_ms = left;
  }
  epoll_event events[kEventsAtOnce];
  int n = epoll_wait(epoll_.get(), events, kEventsAtOnce, timeout_ms);
  if (n < 0 && errno != EINTR) return Error::from_errno(errno, "epoll_wait");
  turn_++;
  // Who has hung up comes first: what others ask for was sent after that, if they know of it.
  std::stable_partition(events, events + std::max(n, 0), [](const epoll_event& e) { return e.events & EPOLLHUP; });
  for (int i = 0; i < n; i++) {
    auto found = watched_.find(events[i].data.fd);
    // One that took the number of another in this very turn has nothing to do with the event.
    if (found == watched_.end() || found->second.since == turn_) continue;
    auto ready = found->second.ready;  // it may unwatch itself
    ready();
  }
  bool any = n > 0;
  for (int64_t now = now_ms(); !timers_.empty() && timers_.begin()->first.first <= now; any = true) {
    auto due = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    due();
  }
  return any;
}

}  // namespace unetmap::daemon
