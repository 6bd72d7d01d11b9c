// SPDX-License-Identifier: BSD-2-Clause
// Descriptors that behave: what programs do with their numbers besides waiting (waiting_test.cc, epoll_test.cc).
#include <dlfcn.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <csignal>
#include <functional>
#include <thread>

#include "base/fd_message.hh"
#include "descriptors_port.hh"

namespace descriptors {
namespace {

// Runs `body` in a forked child; true if it returned true.
bool in_child(const std::function<bool()>& body) {
  pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    _exit(body() ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// A port that others cannot open while anybody has it open.
const Shape kExclusive{.flags = NR_EXCLUSIVE};

bool port_is_free(const std::string& name) {
  int fd = open_device();
  bool free = register_port(fd, name, kExclusive) == 0;
  if (!free) {
    EXPECT_EQ(errno, EBUSY);
  }
  close(fd);
  return free;
}
// The daemon learns of a close a moment after it.
bool becomes_free(const std::string& name) {
  for (uint64_t end = now_ms() + 5000; now_ms() < end; sched_yield())
    if (port_is_free(name)) return true;
  return false;
}

void send_fd(int socket, int fd) {
  const char byte = 'f';
  const unetmap::FdMessage message(&byte, 1, {&fd, 1});
  if (sendmsg(socket, message.header(), 0) != 1) abort();
}

int receive_fd(int socket) {
  char byte;
  iovec part{&byte, 1};
  alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = space;
  message.msg_controllen = sizeof space;
  if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1) return -1;
  cmsghdr* head = CMSG_FIRSTHDR(&message);
  if (!head || head->cmsg_type != SCM_RIGHTS) return -1;
  int fd;
  memcpy(&fd, CMSG_DATA(head), sizeof fd);
  return fd;
}

TEST(Duplicates, AreTheSameDescriptorBeforeAndAfterRegistering) {
  std::string name = switch_name();
  int fd = open_device(), early = dup(fd);
  ASSERT_GE(early, 0);
  Port port;
  port.bind(early, name + ":a", kExclusive);
  Port other(name + ":b");
  int late = fcntl(fd, F_DUPFD_CLOEXEC, 100), exact = 150;
  ASSERT_GE(late, 100);
  EXPECT_EQ(fcntl(late, F_GETFD), FD_CLOEXEC);
  ASSERT_EQ(dup2(fd, exact), exact);
  ASSERT_EQ(dup3(fd, 151, O_CLOEXEC), 151);
  uint64_t number = 0;
  for (int through : {fd, early, late, exact, 151}) {
    ASSERT_TRUE(other.send(++number));
    pollfd p{through, POLLIN, 0};
    ASSERT_EQ(poll(&p, 1, 5000), 1) << through;
    EXPECT_EQ(p.revents, POLLIN);
    EXPECT_EQ(port.take(), Numbers{number});
    ASSERT_EQ(port.put(number, 1), 1u);
    EXPECT_EQ(ioctl(through, NIOCTXSYNC, nullptr), 0);
    EXPECT_EQ(other.receive(), Numbers{number});
  }
  // The binding lasts until the last is closed.
  for (int copy : {fd, late, exact, 151}) EXPECT_EQ(close(copy), 0);
  EXPECT_FALSE(port_is_free(name + ":a"));
  EXPECT_TRUE(other.send(77));
  EXPECT_EQ(port.receive(), Numbers{77});
  EXPECT_EQ(close(port.release()), 0);
  EXPECT_TRUE(becomes_free(name + ":a"));
}

TEST(Duplicates, TakeThePlaceOfOthers) {
  Pair pair;
  int plain = open("/dev/null", O_RDWR);
  // A netmap descriptor replaced by something else is closed by that, and the other way round.
  std::string name = switch_name();
  int fd = open_device();
  ASSERT_EQ(register_port(fd, name + ":x", kExclusive), 0);
  EXPECT_LT(dup2(-1, fd), 0);
  EXPECT_EQ(errno, EBADF);
  EXPECT_FALSE(port_is_free(name + ":x")) << "a dup2 that fails closes nothing";
  EXPECT_EQ(ioctl(fd, NIOCTXSYNC, nullptr), 0);
  ASSERT_EQ(dup2(plain, fd), fd);
  EXPECT_TRUE(becomes_free(name + ":x"));
  EXPECT_LT(ioctl(fd, NIOCTXSYNC, nullptr), 0);
  EXPECT_EQ(errno, ENOTTY);
  ASSERT_EQ(dup2(pair.b.fd(), fd), fd);
  EXPECT_TRUE(pair.a.send(5));
  pollfd p{fd, POLLIN, 0};
  EXPECT_EQ(poll(&p, 1, 5000), 1);
  EXPECT_EQ(pair.b.take(), Numbers{5});
  close(fd);
  close(plain);
}

TEST(Fork, ChildUsesWhatItInherited) {
  Pair pair;
  EXPECT_TRUE(in_child([&] { return pair.a.send(1, 3) && ioctl(pair.a.fd(), NIOCRXSYNC, nullptr) == 0; }));
  EXPECT_EQ(pair.b.receive(), (Numbers{1, 2, 3}));
  // The child is gone, its copies closed; ours work on.
  EXPECT_TRUE(pair.a.send(4));
  EXPECT_EQ(pair.b.receive(), Numbers{4});
}

TEST(Fork, ChildWaitsForWhatTheParentSends) {
  Pair pair;
  pid_t child = fork();
  if (child == 0) {
    alarm(20);
    for (uint64_t expected = 1; expected <= 50;)
      for (uint64_t number : pair.b.receive())
        if (number != expected++) _exit(1);
    _exit(0);
  }
  for (uint64_t number = 1; number <= 50; number++) ASSERT_TRUE(pair.a.send(number));
  int status;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST(Fork, ChildRegistersForTheParent) {
  std::string name = switch_name();
  int fd = open_device();
  Port other(name + ":b");
  pollfd p{fd, POLLIN, 0};
  EXPECT_EQ(poll(&p, 1, 0), 1);
  EXPECT_EQ(p.revents, POLLERR) << "not registered yet";
  uint64_t* answer =
      static_cast<uint64_t*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ASSERT_TRUE(in_child([&] {
    nmreq_register told;
    if (register_port(fd, name + ":a", {}, &told) != 0) return false;
    answer[0] = told.nr_memsize;
    answer[1] = told.nr_offset;
    return true;
  }));
  Port port;
  port.use(fd, answer[0], answer[1]);
  EXPECT_TRUE(other.send(9));
  EXPECT_EQ(port.receive(), Numbers{9});
  EXPECT_TRUE(port.send(10));
  EXPECT_EQ(other.receive(), Numbers{10});
}

TEST(Fork, ManyChildrenWhileThreadsWork) {
  Pair pair;
  std::atomic<bool> stop{false};
  std::thread worker([&] {
    for (uint64_t n = 1; !stop; n++) {
      if (!pair.a.send(n)) pair.a.put(n, 0);
      pollfd p[2] = {{pair.b.fd(), POLLIN, 0}, {pair.a.fd(), POLLOUT, 0}};
      poll(p, 2, 1);
      pair.b.take();
    }
  });
  for (int i = 0; i < 20; i++) {
    EXPECT_TRUE(in_child([&] {
      alarm(20);
      int fd = open_device();
      bool fine = register_port(fd, pair.name + ":c") == 0;
      pollfd p{fd, POLLOUT, 0};
      fine = fine && poll(&p, 1, 5000) == 1 && close(fd) == 0;
      return fine;
    }));
  }
  stop = true;
  worker.join();
}

TEST(Fork, VforkChildTouchesNothingOfOurs) {
  Pair pair;
  int fd = pair.b.fd();
  pid_t child = vfork();
  if (child == 0) {
    close(fd);
    dup2(0, fd);
    _exit(0);
  }
  waitpid(child, nullptr, 0);
  EXPECT_TRUE(pair.a.send(3));
  EXPECT_EQ(pair.b.receive(), Numbers{3});
}

// What the program of the next tests does; it is this one, run again.
TEST(ExecChild, DISABLED_SendsThroughTheInheritedDescriptor) {
  const char* text = getenv("DESCRIPTORS_TEST_FD");
  ASSERT_NE(text, nullptr);
  int fd;
  unsigned long bytes, offset;
  ASSERT_EQ(sscanf(text, "%d %lu %lu", &fd, &bytes, &offset), 3);
  Port port;
  if (bytes > 0)
    port.use(fd, bytes, offset);
  else
    port.bind(fd, getenv("DESCRIPTORS_TEST_NAME"));
  EXPECT_TRUE(port.send(42));
}

int run_exec_child(const std::string& fd_text, const std::string& name, bool quiet = false) {
  pid_t child = fork();
  if (child == 0) {
    if (quiet) dup2(open("/dev/null", O_RDWR | O_CLOEXEC), 1);
    setenv("DESCRIPTORS_TEST_FD", fd_text.c_str(), 1);
    setenv("DESCRIPTORS_TEST_NAME", name.c_str(), 1);
    execl("/proc/self/exe", "descriptors", "--gtest_filter=ExecChild.*", "--gtest_also_run_disabled_tests",
          "--gtest_brief=1", nullptr);
    _exit(99);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(Exec, NewProgramUsesTheDescriptor) {
  std::string name = switch_name();
  Port port, other(name + ":b");
  port.bind(open_device(O_RDWR), name + ":a");
  std::string text =
      std::to_string(port.fd()) + " " + std::to_string(port.bytes()) + " " + std::to_string(port.offset());
  EXPECT_EQ(run_exec_child(text, ""), 0);
  EXPECT_EQ(other.receive(), Numbers{42});
}

TEST(Exec, NewProgramRegistersTheDescriptor) {
  std::string name = switch_name();
  Port other(name + ":b");
  int fd = open_device(O_RDWR);
  EXPECT_EQ(run_exec_child(std::to_string(fd) + " 0 0", name + ":a"), 0);
  EXPECT_EQ(other.receive(), Numbers{42});
  close(fd);
}

TEST(Exec, CloseOnExecIsHonoured) {
  Pair pair;
  EXPECT_EQ(fcntl(pair.a.fd(), F_GETFD), FD_CLOEXEC);
  std::string text =
      std::to_string(pair.a.fd()) + " " + std::to_string(pair.a.bytes()) + " " + std::to_string(pair.a.offset());
  EXPECT_NE(run_exec_child(text, "", true), 0);
}

TEST(Passing, ServerRegistersAndWorkerUses) {
  std::string name = switch_name();
  Port other(name + ":b");
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  pid_t server = fork();
  if (server == 0) {
    int fd = open_device();
    nmreq_register told;
    if (register_port(fd, name + ":a", kExclusive, &told) != 0) _exit(1);
    send_fd(pair[1], fd);
    uint64_t numbers[2] = {told.nr_memsize, told.nr_offset};
    if (write(pair[1], numbers, sizeof numbers) != sizeof numbers) _exit(1);
    _exit(0);
  }
  Port port;
  int fd = receive_fd(pair[0]);
  ASSERT_GE(fd, 0);
  uint64_t numbers[2];
  ASSERT_EQ(read(pair[0], numbers, sizeof numbers), ssize_t(sizeof numbers));
  waitpid(server, nullptr, 0);
  port.use(fd, numbers[0], numbers[1]);
  EXPECT_FALSE(port_is_free(name + ":a")) << "the server is gone, but the descriptor lives";
  EXPECT_TRUE(other.send(1));
  EXPECT_EQ(port.receive(), Numbers{1});
  EXPECT_TRUE(port.send(2));
  EXPECT_EQ(other.receive(), Numbers{2});
  close(port.release());
  EXPECT_TRUE(becomes_free(name + ":a"));
  close(pair[0]);
  close(pair[1]);
}

TEST(Passing, HelperOpensAndWorkerRegisters) {
  std::string name = switch_name();
  Port other(name + ":b");
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  ASSERT_TRUE(in_child([&] {
    send_fd(pair[1], open_device());
    return true;
  }));
  Port port;
  port.bind(receive_fd(pair[0]), name + ":a");
  EXPECT_TRUE(other.send(1));
  EXPECT_EQ(port.receive(), Numbers{1});
  close(pair[0]);
  close(pair[1]);
}

TEST(Passing, ToOneself) {
  Pair pair;
  int sockets[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
  send_fd(sockets[0], pair.b.fd());
  int fd = receive_fd(sockets[1]);
  ASSERT_GE(fd, 0);
  EXPECT_TRUE(pair.a.send(8));
  pollfd p{fd, POLLIN, 0};
  ASSERT_EQ(poll(&p, 1, 5000), 1);
  EXPECT_EQ(pair.b.take(), Numbers{8});
  for (int s : {fd, sockets[0], sockets[1]}) close(s);
}

// Under a number that was another descriptor's, which the C library itself closed: nobody told us.
TEST(Passing, TakenFromAProcess) {
#ifdef SYS_pidfd_getfd
  auto take = reinterpret_cast<int (*)(int, int, unsigned)>(dlsym(RTLD_DEFAULT, "pidfd_getfd"));
  const int self = int(syscall(SYS_pidfd_open, getpid(), 0));
  if (self < 0 || !take) GTEST_SKIP() << "no pidfd_getfd in this kernel or C library";
  Pair pair;
  const int before = int(syscall(SYS_pidfd_getfd, self, self, 0));
  if (before < 0) GTEST_SKIP() << "pidfd_getfd: " << strerror(errno);
  char byte;
  EXPECT_LT(read(before, &byte, 1), 0);  // known as something else from now on
  syscall(SYS_close, before);
  const int fd = take(self, pair.b.fd(), 0);
  if (fd < 0 && errno == ENOSYS) GTEST_SKIP() << "no pidfd_getfd in this C library";
  ASSERT_EQ(fd, before);
  EXPECT_TRUE(pair.a.send(8));
  pollfd p{fd, POLLIN, 0};
  ASSERT_EQ(poll(&p, 1, 5000), 1);
  EXPECT_EQ(pair.b.take(), Numbers{8});
  for (int s : {fd, self}) close(s);
#else
  GTEST_SKIP() << "headers without SYS_pidfd_getfd";
#endif
}

TEST(Closing, EverythingAboveSomeNumber) {
  EXPECT_TRUE(in_child([] {
    alarm(30);
    std::string name = switch_name();
    int fd = open_device(), kept = 20;
    if (dup2(fd, kept) != kept || register_port(kept, name + ":a") != 0) return false;
    pollfd p{kept, POLLIN, 0};
    if (poll(&p, 1, 1) != 0) return false;  // the library has all of its descriptors now
    closefrom(kept + 1);
    if (close_range(3, unsigned(kept - 1), 0) != 0) return false;
    if (fcntl(fd, F_GETFD) >= 0 || fcntl(kept, F_GETFD) < 0) return false;
    for (int number = kept + 1; number < 4096; number++)
      if (close(number) == 0) return false;
    // Still bound, and still woken.
    int other = open_device();
    nmreq_register told;
    if (register_port(other, name + ":b", {}, &told) != 0) return false;
    Port sender;
    sender.use(other, told.nr_memsize, told.nr_offset);
    Later send([&] { sender.send(1); });
    return poll(&p, 1, 10000) == 1 && p.revents == POLLIN;
  }));
}

TEST(Closing, NumbersAreUsedAgainForOtherThings) {
  std::string name = switch_name();
  for (int i = 0; i < 20; i++) {
    int fd = open_device();
    ASSERT_EQ(register_port(fd, name + ":a"), 0);
    ASSERT_EQ(close(fd), 0);
    int pipes[2];
    ASSERT_EQ(pipe(pipes), 0);
    ASSERT_EQ(write(pipes[1], "x", 1), 1);
    pollfd p[2] = {{pipes[0], POLLIN, 0}, {pipes[1], POLLOUT, 0}};
    EXPECT_EQ(poll(p, 2, 1000), 2);
    close(pipes[0]);
    close(pipes[1]);
    EXPECT_LT(ioctl(fd, NIOCTXSYNC, nullptr), 0);
    EXPECT_EQ(errno, EBADF);
  }
}

TEST(Threads, ADescriptorPerRingAndOneMapping) {
  constexpr int kRings = 4;
  constexpr uint64_t kPackets = 20000;
  std::string name = switch_name();
  Port sender(name + ":s", {.rings = kRings}), first(name + ":r", {.mode = NR_REG_ONE_NIC, .ring = 0, .rings = kRings});
  Port others[kRings - 1];
  for (int i = 1; i < kRings; i++)
    others[i - 1].bind_sharing(open_device(), name + ":r", {.mode = NR_REG_ONE_NIC, .ring = uint16_t(i)}, first);
  std::atomic<uint64_t> received{0}, sent{0};
  std::atomic<bool> done{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < kRings; i++)
    threads.emplace_back([&, i] {
      Port& port = i == 0 ? first : others[i - 1];
      uint64_t last = 0;
      while (!done) {
        pollfd p{port.fd(), POLLIN, 0};
        ASSERT_GE(poll(&p, 1, 100), 0);
        for (uint64_t number : port.take(uint32_t(i))) {
          EXPECT_EQ(number % kRings, uint64_t(i)) << "in the ring of its sender's";
          EXPECT_GT(number, last);
          last = number;
          received++;
        }
      }
    });
  // The sender keeps within what the receivers' rings hold, so nothing is lost.
  for (uint64_t n = kRings; n < kPackets; n += kRings) {
    for (int ring = 0; ring < kRings; ring++) sent += sender.put(n + uint64_t(ring), 1, uint32_t(ring));
    ASSERT_EQ(ioctl(sender.fd(), NIOCTXSYNC, nullptr), 0);
    while (sent - received > 512) sched_yield();
  }
  for (uint64_t end = now_ms() + 10000; received < sent && now_ms() < end;) sched_yield();
  done = true;
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(received, sent);
}

// Threads use a number while others close what it is and put another descriptor there, more often than a closed one could
// be kept for each.
TEST(Descriptors, AreClosedWhileOtherThreadsAreInsideACall) {
  EXPECT_TRUE(in_child([] {
    constexpr int kReplacements = 20000, kThreadsEach = 2;
    const std::string name = switch_name() + ":x";
    const int number = open_device();
    std::atomic<int> replaced{0};
    const auto replace = [&] {
      while (replaced.fetch_add(1) < kReplacements) {
        const int other = open_device();
        if (other < 0) return;
        dup2(other, number);
        close(other);
      }
    };
    const auto repeat = [&](const std::function<void()>& call) {
      return [&replaced, call] {
        while (replaced.load() < kReplacements) call();
      };
    };
    const std::function<void()> calls[] = {
        replace,
        repeat([&] { (void)register_port(number, name); }),  // most are refused: open already, or another's number by now
        repeat([&] { (void)ioctl(number, NIOCTXSYNC); }),
        repeat([&] {
          pollfd one{number, POLLIN | POLLOUT, 0};
          (void)poll(&one, 1, 0);
        }),
        repeat([&] {
          const int copy = dup(number);
          (void)ioctl(copy, NIOCRXSYNC);
          close(copy);
        }),
    };
    std::vector<std::thread> threads;
    for (const auto& call : calls)
      for (int i = 0; i < kThreadsEach; i++) threads.emplace_back(call);
    for (std::thread& thread : threads) thread.join();
    const int after = open_device();
    return after >= 0 && register_port(after, name) == 0;
  }));
}

}  // namespace
}  // namespace descriptors
