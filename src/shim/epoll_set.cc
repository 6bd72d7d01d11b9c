// SPDX-License-Identifier: BSD-2-Clause
#include "shim/epoll_set.hh"

#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <new>

#include "shim/client_state.hh"
#include "shim/next.hh"
#include "shim/own_process.hh"
#include "shim/refuse.hh"

namespace unetmap::shim {
namespace {

// data.u64 in `bells`: a descriptor number for its end, or one of these.
constexpr uint64_t kDoorbell = ~uint64_t{0}, kOwnBell = kDoorbell - 1;

constexpr uint32_t kExclusiveBits = EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;

int raw_ctl(int epfd, int op, int fd, uint32_t events, uint64_t data) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = data;
  return int(syscall(SYS_epoll_ctl, epfd, op, fd, &event));
}

}  // namespace

uint64_t epoll_tag() noexcept {
  static std::atomic<uint64_t> tag{0};
  uint64_t value = tag.load(std::memory_order_relaxed);
  if (value != 0) return value;
  KeepErrno keep;
  uint64_t fresh = 0;
  if (getrandom(&fresh, sizeof fresh, GRND_NONBLOCK) != sizeof fresh)
    fresh = reinterpret_cast<uintptr_t>(&tag) * 0x9e3779b97f4a7c15;
  fresh |= 1;
  return tag.compare_exchange_strong(value, fresh, std::memory_order_relaxed) ? fresh : value;
}

EpollSet::Member* EpollSet::find(int fd, client::Descriptor& d) {
  for (Member& m : members_)
    if (m.fd == fd && m.descriptor == &d && open_descriptor(m)) return &m;
  return nullptr;
}

bool EpollSet::make_bells(int epfd) {
  if (bells_ >= 0) return true;
  int bells = make_internal(int(syscall(SYS_epoll_create1, EPOLL_CLOEXEC)));
  int own = make_internal(int(syscall(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK)));
  if (bells >= 0 && own >= 0 && raw_ctl(bells, EPOLL_CTL_ADD, own, EPOLLIN, kOwnBell) == 0 &&
      raw_ctl(epfd, EPOLL_CTL_ADD, bells, EPOLLIN, epoll_tag()) == 0) {
    bells_ = bells;
    own_bell_ = own;
    own_bell_rung_ = false;
    return true;
  }
  close_internal(bells);
  close_internal(own);
  return false;
}

// The doorbell comes into being when the descriptor is registered, perhaps long after it joined the set.
void EpollSet::attach(Member& m) {
  int doorbell = client::doorbell(*m.descriptor);
  if (doorbell == m.doorbell) return;
  KeepErrno keep;
  // Another member may be a duplicate and have the same.
  if (doorbell >= 0) raw_ctl(bells_, EPOLL_CTL_ADD, doorbell, EPOLLIN | EPOLLET, kDoorbell);
  m.doorbell = doorbell;
}

void EpollSet::detach(const Member& m) {
  KeepErrno keep;
  if (client::peek(m.fd) == m.descriptor) raw_ctl(bells_, EPOLL_CTL_DEL, m.fd, 0, 0);
  for (const Member& other : members_)
    if (&other != &m && other.doorbell == m.doorbell) return;
  if (m.doorbell >= 0) raw_ctl(bells_, EPOLL_CTL_DEL, m.doorbell, 0, 0);
}

int EpollSet::add(int epfd, int fd, client::Descriptor& d, const epoll_event& event) {
  bool exclusive = (event.events & EPOLLEXCLUSIVE) != 0;
  if (exclusive && (event.events & ~kExclusiveBits)) return fail(EINVAL);
  if (find(fd, d)) return fail(EEXIST);
  if (!make_bells(epfd)) return -1;
  drop_closed();
  Member m;
  m.fd = fd;
  m.descriptor = &d;
  m.alive = client::find(fd);
  if (m.alive.lock().get() != &d) return fail(EBADF);
  m.exclusive = exclusive;
  m.interest = EpollInterest(event);
  try {
    members_.push_back(std::move(m));
  } catch (const std::bad_alloc&) {
    return fail(ENOMEM);
  }
  if (raw_ctl(bells_, EPOLL_CTL_ADD, fd, EPOLLET, uint64_t(fd)) < 0 && errno != EEXIST) {
    members_.pop_back();
    return -1;
  }
  attach(members_.back());
  return 0;
}

int EpollSet::modify(int fd, client::Descriptor& d, const epoll_event& event) {
  Member* m = find(fd, d);
  if (!m) return fail(ENOENT);
  if (m->exclusive || (event.events & EPOLLEXCLUSIVE)) return fail(EINVAL);
  m->interest.modify(event);
  return 0;
}

int EpollSet::remove(int fd, client::Descriptor& d) {
  Member* m = find(fd, d);
  if (!m) return fail(ENOENT);
  detach(*m);
  members_.erase(members_.begin() + (m - members_.data()));
  return 0;
}

bool EpollSet::registered(client::Descriptor& d) {
  bool found = false;
  for (Member& m : members_) {
    if (m.descriptor != &d || !open_descriptor(m)) continue;
    attach(m);
    m.interest.refresh();
    found = true;
  }
  return found;
}

// As in the kernel, a descriptor leaves its sets when its last number is closed.
client::DescriptorRef EpollSet::open_descriptor(const Member& m) {
  client::DescriptorRef alive = m.alive.lock();
  return alive && open_here(*alive) ? alive : nullptr;
}

void EpollSet::drop_closed() {
  std::erase_if(members_, [this](const Member& m) {
    if (open_descriptor(m)) return false;
    if (!m.alive.expired()) detach(m);
    return true;
  });
}

uint32_t EpollSet::ready(Member& m) {
  if (m.ended) return EPOLLERR | EPOLLHUP;
  return uint16_t(client::sync_events(*m.descriptor, m.interest.wanted()));
}

uint32_t EpollSet::due(Member& m, uint64_t* activity_in, uint64_t* activity_out) {
  *activity_in = *activity_out = 0;
  if (m.interest.spent()) return 0;
  uint32_t now = ready(m);
  // After the sync: what arrived before this moment is seen by whoever is told now.
  if (now && m.interest.edge_triggered()) {
    *activity_in = client::activity(*m.descriptor, POLLIN);
    *activity_out = client::activity(*m.descriptor, POLLOUT);
  }
  return m.interest.due(now, *activity_in, *activity_out);
}

int EpollSet::collect(epoll_event* events, int max) {
  int n = 0;
  bool closed = false;
  size_t count = members_.size();
  if (turn_ >= count) turn_ = 0;
  size_t at = turn_++;
  for (size_t i = 0; i < count && n < max; i++, at = at + 1 == count ? 0 : at + 1) {
    Member& m = members_[at];
    client::DescriptorRef alive = open_descriptor(m);
    if (!alive) {
      closed = true;
      continue;
    }
    uint64_t activity_in, activity_out;
    uint32_t report = due(m, &activity_in, &activity_out);
    if (!report) continue;
    m.interest.told(report, activity_in, activity_out);
    events[n].events = report;
    events[n++].data = m.interest.data();
  }
  if (closed) drop_closed();
  return n;
}

bool EpollSet::any_due() {
  uint64_t activity_in, activity_out;
  for (Member& m : members_) {
    client::DescriptorRef alive = open_descriptor(m);
    if (alive && due(m, &activity_in, &activity_out)) return true;
  }
  return false;
}

int64_t EpollSet::arm(int64_t sleep_ns) {
  for (Member& m : members_) {
    client::DescriptorRef alive = open_descriptor(m);
    if (!alive || m.interest.spent()) continue;
    attach(m);
    client::arm(*alive, m.interest.wanted());
    sleep_ns = limit_sleep(*alive, sleep_ns);
  }
  return sleep_ns;
}

bool EpollSet::take_bells() {
  if (bells_ < 0) return false;
  KeepErrno keep;
  constexpr int kEvents = 32;
  epoll_event events[kEvents];
  int n;
  bool any = false;
  do {
    n = int(syscall(SYS_epoll_pwait, bells_, events, kEvents, 0, nullptr, 0));
    for (int i = 0; i < n; i++) {
      any = true;
      uint64_t what = events[i].data.u64;
      if (what == kDoorbell) continue;
      if (what == kOwnBell) {
        uint64_t count;
        syscall(SYS_read, own_bell_, &count, sizeof count);
        own_bell_rung_ = false;
        continue;
      }
      for (Member& m : members_) {
        if (uint64_t(m.fd) != what) continue;
        m.ended = true;
        if (client::DescriptorRef alive = open_descriptor(m)) daemon_ended(*alive);
      }
    }
  } while (n == kEvents);
  return any;
}

void EpollSet::ring_own_bell() {
  if (own_bell_ < 0 || own_bell_rung_) return;
  KeepErrno keep;
  uint64_t one = 1;
  syscall(SYS_write, own_bell_, &one, sizeof one);
  own_bell_rung_ = true;
}

client::DescriptorRef EpollSet::only_member(short* wanted) {
  if (members_.size() != 1 || members_[0].ended || members_[0].interest.edge_triggered()) return nullptr;
  *wanted = members_[0].interest.wanted();
  return open_descriptor(members_[0]);
}

void EpollSet::clear() {
  members_.clear();
  child_list.clear();
  children.store(0, std::memory_order_relaxed);
  others.store(0, std::memory_order_relaxed);
  active.store(false, std::memory_order_relaxed);
  close_internal(bells_);
  close_internal(own_bell_);
  bells_ = own_bell_ = -1;
  own_bell_rung_ = false;
}

}  // namespace unetmap::shim
