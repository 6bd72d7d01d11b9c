// SPDX-License-Identifier: BSD-2-Clause
// poll and select on netmap descriptors, alone and among others.
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <atomic>

#include "waiting.hh"

namespace descriptors {
namespace {

// False if it is not by then: once a process has ended it gets no further.
bool becomes(pid_t child, char state) {
  for (uint64_t end = now_ms() + kLong; now_ms() < end; usleep(1000))
    if (process_state::state_of(child) == state) return true;
  return false;
}

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

// However late the reader runs then: here it is stopped meanwhile.
TEST(Poll, WhatASleeperIsWokenForHasTheTimeWhenItCame) {
  auto now_us = [] {
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return uint64_t(now.tv_sec) * 1'000'000 + uint64_t(now.tv_nsec) / 1000;
  };
  Pair pair;
  pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    _exit(wait_in(pair.b.fd(), kLong) == 1 ? 0 : errno);
  }
  EXPECT_TRUE(becomes(child, 'S'));
  kill(child, SIGSTOP);
  EXPECT_TRUE(becomes(child, 'T'));
  const uint64_t before = now_us();
  EXPECT_TRUE(pair.a.send(1));
  const uint64_t after = now_us();
  while (now_us() < after + 1000) usleep(100);
  kill(child, SIGCONT);
  int status;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  auto stamp_us = [&] { return uint64_t(pair.b.rx()->ts.tv_sec) * 1'000'000 + uint64_t(pair.b.rx()->ts.tv_usec); };
  EXPECT_GE(stamp_us(), before);
  EXPECT_LE(stamp_us(), after);
  // Who was awake is told of the moment of his look.
  EXPECT_EQ(pair.b.take(), Numbers{1});
  EXPECT_TRUE(pair.a.send(2));
  const uint64_t look = now_us();
  EXPECT_EQ(wait_in(pair.b.fd(), kLong), 1);
  EXPECT_GE(stamp_us(), look);
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

TEST(Poll, EachSleepHasItsOwnTimeLimit) {
  constexpr int kFarAway = 600'000;
  Pair pair;
  {
    // Leaves a limit behind that was not used up.
    Later send([&] { EXPECT_TRUE(pair.a.send(1)); });
    EXPECT_EQ(pair.b.receive(kFarAway), Numbers{1});
  }
  for (int limit_ms : {40, 25, 60, 5, 40}) {
    uint64_t start = now_ms(), took;
    EXPECT_EQ(wait_in(pair.b.fd(), limit_ms), 0);
    took = now_ms() - start;
    EXPECT_GE(took, uint64_t(limit_ms) - 1);
    EXPECT_LT(took, uint64_t{kFarAway} / 2);
  }
  // What went off early for this one does not end it.
  EXPECT_EQ(wait_in(pair.b.fd(), 30), 0);
  Later send([&] { EXPECT_TRUE(pair.a.send(2)); });
  EXPECT_EQ(pair.b.receive(-1), Numbers{2});
}

// Another process with the same descriptor is stopped, perhaps in the middle of its sync. Who found the ring taken and
// went to sleep for want of news looks again, for nobody rings when the other is through.
TEST(Poll, LooksAgainWhereARingWasTaken) {
  constexpr int kForGood = 20000;
  Pair pair;
  auto* syncs = static_cast<std::atomic<uint64_t>*>(
      mmap(nullptr, sizeof(std::atomic<uint64_t>), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  pid_t parent = getpid(), other = fork();
  if (other == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (; getppid() == parent; (*syncs)++) ioctl(pair.b.fd(), NIOCRXSYNC, nullptr);
    _exit(0);
  }
  for (uint64_t n = 1; n <= 8 && !HasFailure(); n++) {
    for (uint64_t before = *syncs; *syncs < before + 1000;) usleep(1000);
    kill(other, SIGSTOP);
    int status;
    ASSERT_EQ(waitpid(other, &status, WUNTRACED), other);
    ASSERT_TRUE(pair.a.send(n));
    std::thread later([&] {
      usleep(1'200'000);  // by then syncs have given up on the lock, and the thread sleeps
      kill(other, SIGCONT);
    });
    uint64_t start = now_ms();
    EXPECT_EQ(wait_in(pair.b.fd(), kForGood), 1);
    EXPECT_LT(now_ms() - start, uint64_t{kForGood} / 2) << "only the time limit ended the sleep";
    later.join();
    EXPECT_EQ(pair.b.take(), Numbers{n});
  }
  kill(other, SIGKILL);
  waitpid(other, nullptr, 0);
  munmap(syncs, sizeof *syncs);
}

// Both ends on one processor give it to each other; a third program that wants it, too, keeps neither from going on.
TEST(Poll, TwoOnOneProcessorAnswerEachOther) {
  constexpr uint64_t kRounds = 2000;
  Pair pair;
  cpu_set_t before, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  const pid_t parent = getpid();
  auto run = [&](auto&& body) {
    const pid_t child = fork();
    if (child != 0) return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent) body();
    _exit(0);
  };
  const pid_t other = run([&] {
    for (uint64_t n = 1;; n++)
      if (pair.b.receive(kLong) != Numbers{n} || !pair.b.send(n)) return;
  });
  pid_t busy = 0;
  for (uint64_t n = 1; n <= kRounds && !HasFailure(); n++) {
    if (n == kRounds - 20)
      busy = run([] {
        for (;;) asm volatile("");
      });
    ASSERT_TRUE(pair.a.send(n));
    EXPECT_EQ(pair.a.receive(kLong), Numbers{n});
  }
  for (pid_t child : {other, busy})
    if (child > 0) {
      kill(child, SIGKILL);
      waitpid(child, nullptr, 0);
    }
  EXPECT_EQ(sched_setaffinity(0, sizeof before, &before), 0);
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

// Unlike epoll_wait, poll goes on after the process was stopped and continued.
TEST(Poll, StopsDoNotEndIt) {
  Pair pair;
  pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGUSR1, SIG_DFL);  // another test's; with a handler of the program's own it may have been that
    _exit(wait_in(pair.b.fd(), kLong) == 1 ? 0 : errno);
  }
  bool asleep = becomes(child, 'S');
  for (int i = 0; i < 5 && asleep; i++) {
    kill(child, SIGSTOP);
    ASSERT_TRUE(becomes(child, 'T'));
    kill(child, SIGCONT);
    asleep = becomes(child, 'S');
  }
  EXPECT_TRUE(asleep);
  ASSERT_TRUE(pair.a.send(1));
  int status;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << strerror(WEXITSTATUS(status));
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
      if (i % 4 < 2) {
        EXPECT_GE(poll(p, 1 + i % 4, -1), 1);
      } else {
        bool first = i % 4 == 2;
        EXPECT_EQ((first ? one : two).wait(-1), Numbers{first ? 1u : 2u});
      }
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
  Port master(name + ":p{1"), slave(name + ":p}1");
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
  // The kernel reads as many bits as the table of descriptors has places, which it may have from an earlier test.
  struct {
    fd_set set;
    char behind[8192];
  } with_room{};
  fd_set &in = with_room.set, out;
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

}  // namespace
}  // namespace descriptors
