// SPDX-License-Identifier: BSD-2-Clause
// Waiting for netmap descriptors as programs wait for any: poll, select and epoll in all their forms.
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
namespace {

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

int wait_in(int fd, int timeout_ms) {
  pollfd p{fd, POLLIN, 0};
  return poll(&p, 1, timeout_ms);
}

constexpr int kLong = 20000;

TEST(Poll, TailIsThereAfterPollWithoutAnIoctl) {
  Pair pair;
  netmap_ring* ring = pair.b.rx();
  EXPECT_EQ(ring->head, ring->tail);
  ASSERT_TRUE(pair.a.send(1, 5));
  EXPECT_EQ(wait_in(pair.b.fd(), kLong), 1);
  EXPECT_EQ((ring->tail + ring->num_slots - ring->head) % ring->num_slots, 5u);
  EXPECT_EQ(pair.b.take(), (Numbers{1, 2, 3, 4, 5}));
}

TEST(Poll, SendsWithoutAnIoctl) {
  Pair pair;
  pair.a.put(1, 3);
  pollfd p{pair.a.fd(), POLLOUT, 0};
  EXPECT_EQ(poll(&p, 1, 0), 1);
  EXPECT_EQ(p.revents, POLLOUT);
  EXPECT_EQ(pair.b.receive(0), (Numbers{1, 2, 3}));
  // Also when only reading is asked for, unless registered otherwise.
  pair.a.put(4, 1);
  EXPECT_EQ(wait_in(pair.a.fd(), 0), 0);
  EXPECT_EQ(pair.b.receive(0), Numbers{4});
  Port quiet(pair.name + ":q", {.flags = NR_NO_TX_POLL});
  quiet.put(5, 1);
  EXPECT_EQ(wait_in(quiet.fd(), 0), 0);
  EXPECT_TRUE(pair.b.receive(0).empty());
  p.fd = quiet.fd();
  EXPECT_EQ(poll(&p, 1, 0), 1);
  EXPECT_EQ(pair.b.receive(0), Numbers{5});
}

TEST(Poll, WakesUp) {
  Pair pair;
  for (uint64_t n = 1; n <= 20; n++) {
    Later send([&] { EXPECT_TRUE(pair.a.send(n)); });
    EXPECT_EQ(pair.b.receive(kLong), Numbers{n});
  }
}

TEST(Poll, TimeIsOverAndErrnoKept) {
  Pair pair;
  uint64_t start = now_ms();
  errno = 7;
  EXPECT_EQ(wait_in(pair.b.fd(), 30), 0);
  EXPECT_GE(now_ms() - start, 29u);
  timespec short_time{0, 300'000};
  pollfd p{pair.b.fd(), POLLIN, 9};
  EXPECT_EQ(ppoll(&p, 1, &short_time, nullptr), 0);
  EXPECT_EQ(p.revents, 0);
  EXPECT_EQ(errno, 7);
}

TEST(Poll, AmongOthers) {
  Pair pair;
  int event = eventfd(0, EFD_CLOEXEC);
  auto poll_all = [&](int timeout_ms) {
    pollfd p[5] = {
        {event, POLLIN, 0}, {pair.b.fd(), POLLIN, 0}, {-1, POLLIN, 9}, {pair.a.fd(), POLLIN, 0}, {event, 0, 0}};
    int n = poll(p, 5, timeout_ms);
    EXPECT_EQ(p[2].revents, 0);
    return std::vector<int>{n, p[0].revents, p[1].revents, p[3].revents};
  };
  EXPECT_EQ(poll_all(0), (std::vector<int>{0, 0, 0, 0}));
  EXPECT_EQ(poll_all(5), (std::vector<int>{0, 0, 0, 0}));
  for (uint64_t n = 1; n <= 10; n++) {
    {
      Later send([&] { pair.a.send(n); });
      EXPECT_EQ(poll_all(kLong), (std::vector<int>{1, 0, POLLIN, 0}));
    }
    EXPECT_EQ(pair.b.take(), Numbers{n});
    {
      Later ring([&] { eventfd_write(event, 1); });
      EXPECT_EQ(poll_all(kLong), (std::vector<int>{1, POLLIN, 0, 0}));
    }
    pair.a.send(n);
    EXPECT_EQ(poll_all(kLong), (std::vector<int>{2, POLLIN, POLLIN, 0})) << "neither hides the other";
    eventfd_t value;
    eventfd_read(event, &value);
    pair.b.take();
  }
  close(event);
  EXPECT_EQ(poll_all(kLong)[1], POLLNVAL);
}

TEST(Poll, ManyDescriptors) {
  std::string name = switch_name();
  Port sender(name + ":s");
  std::vector<std::unique_ptr<Port>> ports;
  std::vector<pollfd> fds;
  for (int i = 0; i < 80; i++) {
    ports.push_back(std::make_unique<Port>(name + ":p" + std::to_string(i)));
    fds.push_back({ports.back()->fd(), POLLIN, 0});
  }
  fds.push_back({0, 0, 0});
  EXPECT_EQ(poll(fds.data(), fds.size(), 1), 0);
  {
    Later send([&] { sender.send(3); });  // a broadcast
    EXPECT_GE(poll(fds.data(), fds.size(), kLong), 1);
  }
  EXPECT_EQ(poll(fds.data(), fds.size(), kLong), 80);
  for (auto& port : ports) EXPECT_EQ(port->take(), Numbers{3});
}

TEST(Poll, UnregisteredIsAnError) {
  int fd = open_device();
  pollfd p{fd, POLLIN, 0};
  EXPECT_EQ(poll(&p, 1, kLong), 1);
  EXPECT_EQ(p.revents, POLLERR);
  close(fd);
}

TEST(Poll, SignalsEndIt) {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  sigaction(SIGUSR1, &action, nullptr);
  Pair pair;
  pthread_t self = pthread_self();
  for (bool alone : {true, false}) {
    Later interrupt([=] { pthread_kill(self, SIGUSR1); });
    pollfd p[2] = {{pair.b.fd(), POLLIN, 0}, {0, 0, 0}};
    EXPECT_LT(poll(p, alone ? 1 : 2, kLong), 0);
    EXPECT_EQ(errno, EINTR);
  }
  // Only while waiting, where the mask says so; and only if nothing is ready.
  sigset_t blocked, open;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &blocked, &open);
  raise(SIGUSR1);
  pollfd p{pair.b.fd(), POLLIN, 0};
  EXPECT_EQ(poll(&p, 1, 1), 0);
  EXPECT_LT(ppoll(&p, 1, nullptr, &open), 0);
  EXPECT_EQ(errno, EINTR);
  raise(SIGUSR1);
  pair.a.send(1);
  EXPECT_EQ(ppoll(&p, 1, nullptr, &open), 1);
  pair.b.take();
  timespec none{};
  EXPECT_LT(ppoll(&p, 1, &none, &open), 0);
  EXPECT_EQ(errno, EINTR);
  raise(SIGUSR1);
  Epoll set;
  set.add(pair.b.fd(), EPOLLIN, 1);
  epoll_event event;
  EXPECT_EQ(epoll_wait(set.fd(), &event, 1, 1), 0);
  EXPECT_LT(epoll_pwait(set.fd(), &event, 1, -1, &open), 0);
  EXPECT_EQ(errno, EINTR);
  pthread_sigmask(SIG_SETMASK, &open, nullptr);
}

TEST(Poll, ThreadsCanBeCancelled) {
  Pair pair;
  Epoll set;
  set.add(pair.b.fd(), EPOLLIN, 1);
  for (int how = 0; how < 4; how++) {
    std::atomic<pid_t> tid{0};
    std::thread sleeper([&] {
      tid = pid_t(syscall(SYS_gettid));
      pollfd p[2] = {{pair.b.fd(), POLLIN, 0}, {0, 0, 0}};
      epoll_event event;
      fd_set in;
      FD_ZERO(&in);
      FD_SET(pair.b.fd(), &in);
      if (how == 0) poll(p, 1, -1);
      if (how == 1) poll(p, 2, -1);
      if (how == 2) epoll_wait(set.fd(), &event, 1, -1);
      if (how == 3) select(pair.b.fd() + 1, &in, nullptr, nullptr, nullptr);
    });
    while (!tid) sched_yield();
    Later::wait_until_asleep(tid);
    pthread_cancel(sleeper.native_handle());
    sleeper.join();
  }
  // Nothing is left locked.
  pair.a.send(1);
  EXPECT_EQ(set.wait(kLong), Numbers{1});
  EXPECT_EQ(pair.b.receive(), Numbers{1});
}

TEST(Poll, SeveralWaitersForOneDescriptor) {
  Pair pair;
  Epoll one, two;
  one.add(pair.b.fd(), EPOLLIN, 1);
  two.add(pair.b.fd(), EPOLLIN, 2);
  std::atomic<int> woken{0};
  std::vector<std::thread> threads;
  std::vector<std::atomic<pid_t>> tids(12);
  for (size_t i = 0; i < tids.size(); i++)
    threads.emplace_back([&, i] {
      tids[i] = pid_t(syscall(SYS_gettid));
      pollfd p[2] = {{pair.b.fd(), POLLIN, 0}, {one.fd(), POLLIN, 0}};
      if (i % 4 == 0) EXPECT_GE(poll(p, 1, -1), 1);
      if (i % 4 == 1) EXPECT_GE(poll(p, 2, -1), 1);
      if (i % 4 == 2) EXPECT_EQ(one.wait(-1), Numbers{1});
      if (i % 4 == 3) EXPECT_EQ(two.wait(-1), Numbers{2});
      woken++;
    });
  for (auto& tid : tids) {
    while (!tid) sched_yield();
    Later::wait_until_asleep(tid);
  }
  EXPECT_EQ(woken, 0);
  pair.a.send(1);
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(pair.b.take(), Numbers{1});
}

TEST(Poll, SenderWaitsForRoomInAPipe) {
  std::string name = switch_name();
  Port master(name + ":p", {.mode = NR_REG_PIPE_MASTER, .ring = 1}),
      slave(name + ":p", {.mode = NR_REG_PIPE_SLAVE, .ring = 1});
  uint64_t n = 1;
  pollfd p{master.fd(), POLLOUT, 0};
  while (uint32_t put = master.put(n, 4096)) {
    n += put;
    ASSERT_EQ(ioctl(master.fd(), NIOCTXSYNC, nullptr), 0);
    ASSERT_LT(n, 100000u) << "a pipe that is never full";
  }
  EXPECT_EQ(poll(&p, 1, 5), 0);
  Numbers got;
  {
    Later drain([&] {
      got = slave.receive();
      ioctl(slave.fd(), NIOCRXSYNC, nullptr);  // gives the slots back
    });
    EXPECT_EQ(poll(&p, 1, kLong), 1);
    EXPECT_EQ(p.revents, POLLOUT);
  }
  EXPECT_FALSE(got.empty());
}

TEST(Select, ReportsAndUpdatesTheTimeLeft) {
  Pair pair;
  int event = eventfd(0, EFD_CLOEXEC), n = std::max({pair.b.fd(), pair.a.fd(), event}) + 1;
  fd_set in, out;
  auto fill = [&] {
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(pair.b.fd(), &in);
    FD_SET(event, &in);
  };
  fill();
  timeval timeout{0, 20000};
  EXPECT_EQ(select(n, &in, &out, nullptr, &timeout), 0);
  EXPECT_EQ(timeout.tv_sec, 0);
  EXPECT_EQ(timeout.tv_usec, 0);
  EXPECT_FALSE(FD_ISSET(pair.b.fd(), &in));
  fill();
  FD_SET(pair.a.fd(), &out);
  pair.a.send(1);
  eventfd_write(event, 1);
  timeout = {100, 0};
  EXPECT_EQ(select(n, &in, &out, nullptr, &timeout), 3);
  EXPECT_TRUE(FD_ISSET(pair.b.fd(), &in) && FD_ISSET(event, &in) && FD_ISSET(pair.a.fd(), &out));
  EXPECT_GT(timeout.tv_sec, 50);
  pair.b.take();
  eventfd_t value;
  eventfd_read(event, &value);
  fill();
  {
    Later send([&] { pair.a.send(2); });
    timeout = {100, 0};
    EXPECT_EQ(select(n, &in, nullptr, nullptr, &timeout), 1);
    EXPECT_TRUE(FD_ISSET(pair.b.fd(), &in));
    EXPECT_FALSE(FD_ISSET(event, &in));
    EXPECT_LT(timeout.tv_sec, 100);
  }
  fill();
  timespec forever_like{100, 0};
  EXPECT_EQ(pselect(n, &in, nullptr, nullptr, &forever_like, nullptr), 1);
  EXPECT_EQ(forever_like.tv_sec, 100) << "pselect leaves it alone";
  fill();
  EXPECT_EQ(select(1 << 20, &in, nullptr, nullptr, nullptr), 1) << "nfds beyond the set, as from getdtablesize()";
  close(event);
  fill();
  EXPECT_LT(select(n, &in, nullptr, nullptr, nullptr), 0);
  EXPECT_EQ(errno, EBADF);
}

TEST(Epoll, LevelTriggered) {
  Pair pair;
  Epoll set;
  int event = eventfd(0, EFD_CLOEXEC);
  ASSERT_EQ(set.add(pair.b.fd(), EPOLLIN, 1), 0);
  ASSERT_EQ(set.add(event, EPOLLIN, 2), 0);
  EXPECT_TRUE(set.wait(0).empty());
  EXPECT_TRUE(set.wait(5).empty());
  for (uint64_t n = 1; n <= 10; n++) {
    {
      Later send([&] { pair.a.send(n); });
      EXPECT_EQ(set.wait(kLong), Numbers{1});
    }
    EXPECT_EQ(set.wait(kLong), Numbers{1}) << "as long as it is not taken";
    eventfd_write(event, 1);
    EXPECT_EQ(set.wait(kLong), (Numbers{1, 2}));
    Numbers seen;
    for (int i = 0; i < 4; i++) seen.push_back(set.wait(kLong, 1).at(0));
    EXPECT_NE(std::count(seen.begin(), seen.end(), 1), 0) << "one place, two that are ready: each gets its turn";
    EXPECT_NE(std::count(seen.begin(), seen.end(), 2), 0);
    EXPECT_EQ(pair.b.take(), Numbers{n});
    EXPECT_EQ(set.wait(kLong), Numbers{2});
    eventfd_t value;
    eventfd_read(event, &value);
    EXPECT_TRUE(set.wait(0).empty());
  }
  close(event);
}

TEST(Epoll, EdgeTriggered) {
  Pair pair;
  Epoll set;
  ASSERT_EQ(set.add(pair.b.fd(), EPOLLIN | EPOLLET, 1), 0);
  pair.a.send(1);
  EXPECT_EQ(set.wait(kLong), Numbers{1});
  EXPECT_TRUE(set.wait(5).empty()) << "reported once";
  {
    Later send([&] { pair.a.send(2); });
    EXPECT_EQ(set.wait(kLong), Numbers{1}) << "something new, though the old was not taken";
  }
  EXPECT_TRUE(set.wait(5).empty());
  ASSERT_EQ(set.control(EPOLL_CTL_MOD, pair.b.fd(), EPOLLIN | EPOLLET, 3), 0);
  EXPECT_EQ(set.wait(kLong), Numbers{3});
  EXPECT_EQ(pair.b.take(), (Numbers{1, 2}));
  {
    Later send([&] { pair.a.send(4); });
    EXPECT_EQ(set.wait(kLong), Numbers{3});
  }
  EXPECT_EQ(pair.b.take(), Numbers{4});
}

TEST(Epoll, OneShotAndModifyAndRemove) {
  Pair pair;
  Epoll set;
  int fd = pair.b.fd();
  ASSERT_EQ(set.add(fd, EPOLLIN | EPOLLONESHOT, 1), 0);
  EXPECT_LT(set.add(fd, EPOLLIN, 1), 0);
  EXPECT_EQ(errno, EEXIST);
  pair.a.send(1);
  EXPECT_EQ(set.wait(kLong), Numbers{1});
  EXPECT_TRUE(set.wait(5).empty());
  ASSERT_EQ(set.control(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLOUT | EPOLLONESHOT, 2), 0);
  EXPECT_EQ(set.wait(kLong), Numbers{2});
  EXPECT_EQ(set.last(), uint32_t(EPOLLIN | EPOLLOUT));
  ASSERT_EQ(set.control(EPOLL_CTL_MOD, fd, EPOLLOUT, 3), 0);
  EXPECT_EQ(set.wait(kLong), Numbers{3});
  EXPECT_EQ(set.last(), uint32_t(EPOLLOUT));
  ASSERT_EQ(set.control(EPOLL_CTL_DEL, fd), 0);
  EXPECT_TRUE(set.wait(5).empty());
  for (int op : {EPOLL_CTL_DEL, EPOLL_CTL_MOD}) {
    EXPECT_LT(set.control(op, fd, EPOLLIN, 1), 0);
    EXPECT_EQ(errno, ENOENT);
  }
  EXPECT_LT(set.control(77, fd), 0);
  EXPECT_EQ(errno, EINVAL);
  ASSERT_EQ(set.add(fd, EPOLLIN | EPOLLEXCLUSIVE, 4), 0);
  EXPECT_EQ(set.wait(kLong), Numbers{4});
  EXPECT_LT(set.control(EPOLL_CTL_MOD, fd, EPOLLIN, 4), 0);
  EXPECT_EQ(errno, EINVAL);
  epoll_event event{};
  EXPECT_LT(epoll_ctl(fd, EPOLL_CTL_ADD, pair.a.fd(), &event), 0);
  EXPECT_EQ(errno, EINVAL) << "that is no epoll descriptor";
  EXPECT_LT(epoll_wait(set.fd(), &event, 0, 0), 0);
  EXPECT_EQ(errno, EINVAL);
}

TEST(Epoll, JoinedBeforeRegistering) {
  std::string name = switch_name();
  Port other(name + ":b");
  Epoll set;
  int fd = open_device();
  ASSERT_EQ(set.add(fd, EPOLLIN | EPOLLET, 1), 0);
  EXPECT_EQ(set.wait(kLong), Numbers{1});
  EXPECT_TRUE(set.last() & EPOLLERR);
  Port port;
  port.bind(fd, name + ":a");
  Later send([&] { other.send(1); });
  EXPECT_EQ(set.wait(kLong), Numbers{1});
  EXPECT_EQ(set.last(), uint32_t(EPOLLIN));
}

TEST(Epoll, JoinedWhileSomebodySleeps) {
  Pair pair;
  Epoll set;
  Later join([&, me = pid_t(syscall(SYS_gettid))] {
    set.add(pair.b.fd(), EPOLLIN, 1);
    Later::wait_until_asleep(me);
    pair.a.send(1);
  });
  EXPECT_EQ(set.wait(kLong), Numbers{1});
}

TEST(Epoll, ClosedDescriptorsLeave) {
  Pair pair;
  Epoll set;
  int copy = dup(pair.b.fd());
  ASSERT_EQ(set.add(pair.b.fd(), EPOLLIN, 1), 0);
  pair.a.send(1);
  int gone = pair.b.release();
  close(gone);
  EXPECT_EQ(set.wait(kLong), Numbers{1}) << "a duplicate is open";
  close(copy);
  EXPECT_TRUE(set.wait(5).empty());
  Port again(pair.name + ":c");
  ASSERT_EQ(set.add(again.fd(), EPOLLIN, 2), 0);
  pair.a.send(2);
  EXPECT_EQ(set.wait(kLong), Numbers{2});
}

TEST(Epoll, NestedAndPolled) {
  Pair pair;
  Epoll inner, outer;
  ASSERT_EQ(outer.add(inner.fd(), EPOLLIN, 7), 0);
  ASSERT_EQ(inner.add(pair.b.fd(), EPOLLIN, 1), 0);
  EXPECT_TRUE(outer.wait(5).empty());
  EXPECT_EQ(wait_in(inner.fd(), 5), 0);
  for (uint64_t n = 1; n <= 12; n++) {
    {
      Later send([&] { pair.a.send(n); });
      fd_set in;
      FD_ZERO(&in);
      FD_SET(inner.fd(), &in);
      if (n % 4 == 0)
        EXPECT_EQ(outer.wait(kLong), Numbers{7});
      else if (n % 4 == 1)
        EXPECT_EQ(wait_in(inner.fd(), kLong), 1);
      else if (n % 4 == 2)
        EXPECT_EQ(wait_in(outer.fd(), kLong), 1);
      else
        EXPECT_EQ(select(inner.fd() + 1, &in, nullptr, nullptr, nullptr), 1);
    }
    EXPECT_EQ(inner.wait(0), Numbers{1});
    EXPECT_EQ(outer.wait(0), Numbers{7});
    EXPECT_EQ(pair.b.take(), Numbers{n});
    EXPECT_EQ(wait_in(inner.fd(), 0), 0);
    EXPECT_EQ(wait_in(outer.fd(), 1), 0);
    EXPECT_TRUE(outer.wait(1).empty());
  }
}

TEST(Epoll, DuplicatedSet) {
  Pair pair;
  Epoll set;
  int copy = dup(set.fd());
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = 5;
  ASSERT_EQ(epoll_ctl(copy, EPOLL_CTL_ADD, pair.b.fd(), &event), 0);
  Later send([&] { pair.a.send(1); });
  EXPECT_EQ(set.wait(kLong), Numbers{5});
  close(copy);
  EXPECT_EQ(set.wait(kLong), Numbers{5});
}

TEST(Epoll, WorkersShareASetAndEachEventWithOneShot) {
  constexpr uint64_t kPackets = 2000;
  std::string name = switch_name();
  Port sender(name + ":s"), a(name + ":a"), b(name + ":b");
  Epoll set;
  set.add(a.fd(), EPOLLIN | EPOLLONESHOT, 1);
  set.add(b.fd(), EPOLLIN | EPOLLONESHOT, 2);
  int stop = eventfd(0, EFD_CLOEXEC);
  set.add(stop, EPOLLIN, 0);
  std::atomic<uint64_t> received{0};
  std::atomic<int> inside[3] = {};
  std::vector<std::thread> workers;
  for (int i = 0; i < 4; i++)
    workers.emplace_back([&] {
      for (;;) {
        epoll_event event;
        int n = epoll_wait(set.fd(), &event, 1, -1);
        if (n <= 0) continue;
        uint64_t which = event.data.u64;
        if (which == 0) return;
        EXPECT_EQ(inside[which]++, 0) << "one worker at a time";
        Port& port = which == 1 ? a : b;
        received += port.take().size();
        inside[which]--;
        set.control(EPOLL_CTL_MOD, port.fd(), EPOLLIN | EPOLLONESHOT, which);
      }
    });
  for (uint64_t n = 0; n < kPackets; n++) {
    ASSERT_TRUE(sender.send(n));  // to both
    for (uint64_t end = now_ms() + kLong; received < 2 * (n + 1) && now_ms() < end && n % 16 == 0;) sched_yield();
    while (2 * n > received + 512) sched_yield();
  }
  for (uint64_t end = now_ms() + kLong; received < 2 * kPackets && now_ms() < end;) sched_yield();
  EXPECT_EQ(received, 2 * kPackets);
  eventfd_write(stop, 1);
  for (std::thread& t : workers) t.join();
  close(stop);
}

TEST(Epoll, SleepingCostsNothing) {
  Pair pair;
  Epoll set;
  set.add(pair.b.fd(), EPOLLIN, 1);
  std::atomic<pid_t> tid{0};
  std::thread sleeper([&] {
    tid = pid_t(syscall(SYS_gettid));
    EXPECT_EQ(set.wait(-1), Numbers{1});
  });
  while (!tid) sched_yield();
  Later::wait_until_asleep(tid);
  auto switches = [&] {
    char text[4096] = {};
    FILE* file = fopen(("/proc/self/task/" + std::to_string(tid) + "/status").c_str(), "r");
    size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    const char* at = n ? strstr(text, "\nvoluntary_ctxt_switches:") : nullptr;
    return at ? atoll(at + 25) : -1;
  };
  long long before = switches();
  usleep(300000);
  EXPECT_EQ(switches(), before) << "an idle thread wakes up";
  pair.a.send(1);
  sleeper.join();
}

}  // namespace
}  // namespace descriptors
