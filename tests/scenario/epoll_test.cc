// SPDX-License-Identifier: BSD-2-Clause
// epoll with netmap descriptors: level and edge triggered, once, nested, shared.
#include "waiting.hh"

namespace descriptors {
namespace {

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
