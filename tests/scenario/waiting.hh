// SPDX-License-Identifier: BSD-2-Clause
// What the tests of poll, select and epoll share.
#pragma once

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/syscall.h>

#include <algorithm>
#include <csignal>
#include <functional>
#include <memory>
#include <thread>

#include "descriptors_port.hh"

namespace descriptors {
class Epoll {
 public:
  Epoll() : fd_(epoll_create1(EPOLL_CLOEXEC)) {}
  ~Epoll() { close(fd_); }
  Epoll(const Epoll&) = delete;
  Epoll& operator=(const Epoll&) = delete;
  int fd() const { return fd_; }
  int control(int op, int fd, uint32_t events = 0, uint64_t data = 0) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = data;
    return epoll_ctl(fd_, op, fd, &event);
  }
  int add(int fd, uint32_t events, uint64_t data) { return control(EPOLL_CTL_ADD, fd, events, data); }
  // The data of what is reported, sorted.
  Numbers wait(int timeout_ms, int max = 8) {
    epoll_event events[8];
    int n = epoll_wait(fd_, events, max, timeout_ms);
    Numbers data;
    for (int i = 0; i < n; i++) data.push_back(events[i].data.u64);
    std::sort(data.begin(), data.end());
    last_ = n > 0 ? events[0].events : 0;
    return data;
  }
  uint32_t last() const { return last_; }

 private:
  int fd_;
  uint32_t last_ = 0;
};

inline int wait_in(int fd, int timeout_ms) {
  pollfd p{fd, POLLIN, 0};
  return poll(&p, 1, timeout_ms);
}

constexpr int kLong = 20000;

}  // namespace descriptors
