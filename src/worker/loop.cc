// SPDX-License-Identifier: BSD-2-Clause
#include "worker/loop.hh"

#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

namespace unetmap::worker {
namespace {

constexpr int kEventsAtOnce = 64;
constexpr uint32_t kTurnsBetweenLooks = 16;  // at the other descriptors, while packets move

int64_t now_us() { return int64_t(now_ns() / 1000); }

}  // namespace

uint64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return uint64_t(t.tv_sec) * 1'000'000'000 + uint64_t(t.tv_nsec);
}

Result<Loop> Loop::create() {
  Loop loop;
  loop.epoll_ = UniqueFd(epoll_create1(EPOLL_CLOEXEC));
  if (!loop.epoll_) return Error::from_errno(errno, "epoll");
  return loop;
}

Result<void> Loop::watch(int fd, uint32_t events, std::function<void(uint32_t)> ready) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) < 0) return Error::from_errno(errno, "epoll");
  watched_[fd] = {std::move(ready), round_};
  return {};
}

void Loop::change(int fd, uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  if (watched_.count(fd)) epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void Loop::unwatch(int fd) {
  if (watched_.erase(fd)) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

uint64_t Loop::after(int64_t ms, std::function<void()> due) {
  timers_[{now_us() + ms * 1000, ++last_timer_}] = std::move(due);
  return last_timer_;
}

void Loop::cancel(uint64_t timer) {
  std::erase_if(timers_, [&](auto& entry) { return entry.first.second == timer; });
}

void Loop::dispatch() {
  epoll_event events[kEventsAtOnce];
  int n = epoll_wait(epoll_.get(), events, kEventsAtOnce, 0);
  round_++;
  for (int i = 0; i < n && !ended_; i++) {
    auto found = watched_.find(events[i].data.fd);
    // One that took the number of another in this very round has nothing to do with the event.
    if (found == watched_.end() || found->second.since == round_) continue;
    auto ready = found->second.ready;  // it may unwatch itself
    ready(events[i].events);
  }
  run_timers();
}

void Loop::run_timers() {
  if (timers_.empty()) return;
  for (int64_t now = now_us(); !timers_.empty() && timers_.begin()->first.first <= now && !ended_;) {
    auto due = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    due();
  }
}

// UINT64_MAX: for ever.
uint64_t Loop::sleep_ns(uint64_t wake_ns) const {
  if (!timers_.empty()) wake_ns = std::min(wake_ns, uint64_t(timers_.begin()->first.first) * 1000);
  if (wake_ns == UINT64_MAX) return UINT64_MAX;
  const uint64_t now = now_ns();
  return wake_ns > now ? wake_ns - now : 0;
}

void Loop::remove_port(int netmap_fd) {
  std::erase_if(ports_, [&](const Port& port) { return port.fd == netmap_fd; });
}

Result<void> Loop::sleep(uint64_t wake_ns) {
  std::vector<pollfd> fds{{epoll_.get(), POLLIN, 0}};
  for (const Port& port : ports_) fds.push_back({port.fd, port.turns->port_events(), 0});
  const uint64_t limit = sleep_ns(wake_ns);
  timespec time{time_t(limit / 1'000'000'000), long(limit % 1'000'000'000)};
  int n = ppoll(fds.data(), fds.size(), limit == UINT64_MAX ? nullptr : &time, nullptr);
  if (n < 0 && errno != EINTR) return Error::from_errno(errno, "poll");
  for (size_t i = 1; n > 0 && i < fds.size(); i++)
    if (fds[i].revents & (POLLERR | POLLNVAL))
      return Error{ENXIO, "the switch port: the daemon is gone or took it back"};
  return {};
}

Result<void> Loop::run(Turns& turns) {
  uint32_t busy = 0;
  int64_t idle_since = 0;
  while (!ended_) {
    if (turns.turn()) {
      idle_since = 0;
      if (++busy % kTurnsBetweenLooks == 0) dispatch();
      continue;
    }
    dispatch();
    if (ended_) break;
    if (spin_us_ > 0) {
      int64_t now = now_us();
      if (idle_since == 0) idle_since = now;
      if (now - idle_since < spin_us_) continue;
    }
    if (turns.before_sleep()) {
      if (auto slept = sleep(turns.wake_ns()); !slept) return slept;
    }
    turns.after_sleep();
    dispatch();
  }
  return {};
}

}  // namespace unetmap::worker
