// SPDX-License-Identifier: BSD-2-Clause
// The daemon's life seen by its clients: on demand, its death, other users, idleness.
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "flows.hh"
#include "process_state.hh"
#include "unetmap/unetmap.h"
#include "wire/messages.hh"

namespace {

using flows::daemon_of;

bool alive(pid_t pid) { return kill(pid, 0) == 0; }

uint64_t context_switches(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  uint64_t sum = 0;
  for (std::string line; std::getline(status, line);)
    if (size_t at = line.find("ctxt_switches:"); at != std::string::npos) sum += std::stoull(line.substr(at + 14));
  return sum;
}

uint64_t cpu_ns(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/schedstat");
  uint64_t ns = 0;
  stat >> ns;
  return ns;
}

TEST(DaemonTest, StartsOnDemandAndGoesSomeSecondsAfterTheLast) {
  setenv("UNETMAP_IDLE_EXIT", "1", 1);
  std::string before = getenv("UNETMAP_SOCKET");
  setenv("UNETMAP_SOCKET", (before + ".ondemand").c_str(), 1);
  nmport_d* port = flows::open_port("valed:1");
  ASSERT_NE(port, nullptr);
  pid_t pid = daemon_of(port->fd);
  ASSERT_GT(pid, 0);
  EXPECT_TRUE(alive(pid));
  nmport_close(port);
  EXPECT_TRUE(flows::eventually([&] { return !alive(pid); }));
  struct stat info;
  EXPECT_LT(stat((before + ".ondemand").c_str(), &info), 0) << "the socket is left behind";
  setenv("UNETMAP_SOCKET", before.c_str(), 1);
  unsetenv("UNETMAP_IDLE_EXIT");
}

TEST(DaemonTest, KilledDaemonIsSeenAndReplaced) {
  std::string before = getenv("UNETMAP_SOCKET");
  setenv("UNETMAP_SOCKET", (before + ".killed").c_str(), 1);
  nmport_d *a = flows::open_port("valed:a"), *b = flows::open_port("valed:b");
  ASSERT_TRUE(a && b);
  pid_t pid = daemon_of(a->fd);
  // One that sleeps in poll while it happens.
  std::atomic<int>* woken = static_cast<std::atomic<int>*>(
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  pid_t sleeper = flows::spawn([&] {
    pollfd p{b->fd, POLLIN, 0};
    *woken = -1;
    int n = poll(&p, 1, 20000);
    *woken = n == 1 ? p.revents : 0;
  });
  ASSERT_TRUE(flows::eventually([&] { return *woken == -1; }));
  kill(pid, SIGKILL);
  EXPECT_TRUE(flows::eventually([&] { return *woken > 0; }));
  EXPECT_TRUE(*woken & (POLLERR | POLLHUP)) << *woken;
  waitpid(sleeper, nullptr, 0);
  EXPECT_TRUE(flows::eventually([&] { return ioctl(a->fd, NIOCTXSYNC, nullptr) < 0 && errno == ENXIO; }));
  EXPECT_NE(std::string(unetmap_last_error()).find("daemon is gone"), std::string::npos) << unetmap_last_error();
  pollfd p{a->fd, POLLIN, 0};
  EXPECT_EQ(poll(&p, 1, 0), 1);
  EXPECT_TRUE(p.revents & POLLERR);
  nmport_close(a);
  nmport_close(b);
  nmport_d* again = flows::open_port("valed:a");
  ASSERT_NE(again, nullptr) << unetmap_last_error();
  EXPECT_NE(daemon_of(again->fd), pid);
  nmport_close(again);
  setenv("UNETMAP_SOCKET", before.c_str(), 1);
}

// Whoever is in the middle of something finds its rings as they were, not zeros.
TEST(DaemonTest, AnOrderlyEndLeavesTheMemoryOfPrograms) {
  std::string before = getenv("UNETMAP_SOCKET");
  setenv("UNETMAP_SOCKET", (before + ".ended").c_str(), 1);
  nmport_d* port = flows::open_port("valed:a");
  ASSERT_NE(port, nullptr);
  netmap_ring* ring = NETMAP_TXRING(port->nifp, 0);
  const uint32_t slots = ring->num_slots, bytes = ring->nr_buf_size, buffer = ring->slot[3].buf_idx;
  memset(NETMAP_BUF(ring, buffer), 0x5a, 60);
  pid_t pid = daemon_of(port->fd);
  kill(pid, SIGTERM);
  ASSERT_TRUE(flows::eventually([&] { return !alive(pid); }));
  EXPECT_EQ(ring->num_slots, slots);
  EXPECT_EQ(ring->nr_buf_size, bytes);
  EXPECT_EQ(ring->slot[3].buf_idx, buffer);
  EXPECT_EQ(uint8_t(NETMAP_BUF(ring, buffer)[59]), 0x5a);
  nmport_close(port);
  setenv("UNETMAP_SOCKET", before.c_str(), 1);
}

TEST(DaemonTest, AnotherUserCannotConnect) {
  if (getuid() != 0) GTEST_SKIP() << "needs root to become another user";
  std::string before = getenv("UNETMAP_SOCKET");
  // In a directory that anyone may enter, with the socket open to all: the daemon itself refuses.
  char dir[] = "/tmp/unetmap-uid-XXXXXX";
  ASSERT_NE(mkdtemp(dir), nullptr);
  std::string path = std::string(dir) + "/unetmapd.sock";
  setenv("UNETMAP_SOCKET", path.c_str(), 1);
  nmport_d* port = flows::open_port("valeuid:1");
  ASSERT_NE(port, nullptr);
  pid_t daemon = daemon_of(port->fd);
  ASSERT_EQ(chmod(dir, 0755), 0);
  chmod(path.c_str(), 0777);
  pid_t child = fork();
  if (child == 0) {
    // `nobody`, without the descriptors and mappings that fork gave it.
    int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    if (setgroups(0, nullptr) || setgid(65534) || setuid(65534)) _exit(10);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, path.c_str(), path.size() + 1);
    if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
      // Accepted by the kernel; the daemon says whose it is, and hangs up.
      char said[512];
      unetmap::wire::ReplyHead head;
      const ssize_t bytes = recv(fd, said, sizeof said, 0);
      if (bytes < ssize_t(sizeof head)) _exit(11);
      memcpy(&head, said, sizeof head);
      if (head.error != EACCES || head.body_bytes != 0 || head.has_bind) _exit(14);
      if (recv(fd, said, sizeof said, 0) > 0) _exit(15);
    }
    if (kill(daemon, 0) == 0) _exit(12);
    if (open(("/proc/" + std::to_string(daemon) + "/fd/3").c_str(), O_RDWR) >= 0) _exit(13);
    _exit(0);
  }
  int status;
  waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  // The daemon lives on for its own.
  EXPECT_EQ(ioctl(port->fd, NIOCRXSYNC, nullptr), 0);
  nmport_close(port);
  kill(daemon, SIGTERM);
  EXPECT_TRUE(flows::eventually([&] { return !alive(daemon); }));
  EXPECT_GT(std::filesystem::remove_all(dir), 0u);
  setenv("UNETMAP_SOCKET", before.c_str(), 1);
}

// Where nobody named a socket, one that a third user put there is not trusted.
TEST(DaemonTest, AStrangersDaemonIsRefused) {
  if (getuid() != 0) GTEST_SKIP() << "needs root to become other users";
  constexpr uid_t kStranger = 2045678901, kVictim = 2045678902;
  std::string dir = "/tmp/unetmap-" + std::to_string(kVictim), path = dir + "/unetmapd.sock";
  ASSERT_EQ(mkdir(dir.c_str(), 0755), 0);
  ASSERT_EQ(chown(dir.c_str(), kStranger, kStranger), 0);
  auto become = [](uid_t uid) { return setgroups(0, nullptr) || setgid(uid) || setuid(uid); };
  int listening[2];
  ASSERT_EQ(pipe(listening), 0);
  pid_t stranger = flows::spawn([&] {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, path.c_str(), path.size() + 1);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    if (become(kStranger) || bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) ||
        chmod(path.c_str(), 0777) || listen(fd, 5))
      _exit(10);
    if (write(listening[1], "", 1) != 1) _exit(11);
    pause();
  });
  char byte;
  ASSERT_EQ(read(listening[0], &byte, 1), 1);
  pid_t victim = flows::spawn([&] {
    if (become(kVictim)) _exit(10);
    unsetenv("UNETMAP_SOCKET");
    unsetenv("XDG_RUNTIME_DIR");
    if (open("/dev/netmap", O_RDWR) >= 0) _exit(11);
    if (errno != EACCES) _exit(12);
    _exit(strstr(unetmap_last_error(), std::to_string(kStranger).c_str()) ? 0 : 13);
  });
  int status;
  waitpid(victim, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  kill(stranger, SIGKILL);
  waitpid(stranger, nullptr, 0);
  close(listening[0]);
  close(listening[1]);
  unlink(path.c_str());
  unlink((path + ".start").c_str());
  rmdir(dir.c_str());
}

TEST(DaemonTest, IdleCostsNothing) {
  nmport_d* port = flows::open_port("valeidle:1");
  ASSERT_NE(port, nullptr);
  pid_t daemon = daemon_of(port->fd);
  pid_t sleeper = flows::spawn([] {
    nmport_d* mine = flows::open_port("valeidle:2");
    flows::wait_for(mine, POLLIN, 60000);
  });
  auto asleep = [](pid_t pid) { return process_state::state_of(pid) == 'S'; };
  // Quiet: no switches between two looks, three times in a row.
  auto counts = [&] { return context_switches(sleeper) + context_switches(daemon); };
  ASSERT_TRUE(flows::eventually([&] {
    uint64_t was = counts();
    usleep(300'000);
    return asleep(sleeper) && asleep(daemon) && counts() == was;
  }));
  uint64_t switches = counts(), cpu = cpu_ns(sleeper) + cpu_ns(daemon);
  usleep(2'000'000);
  EXPECT_EQ(counts() - switches, 0u) << "wake-ups in 2 s of idleness";
  EXPECT_EQ(cpu_ns(sleeper) + cpu_ns(daemon) - cpu, 0u);
  kill(sleeper, SIGKILL);
  waitpid(sleeper, nullptr, 0);
  nmport_close(port);
}

TEST(DaemonTest, UnreachableIsExplained) {
  std::string before = getenv("UNETMAP_SOCKET");
  setenv("UNETMAP_SOCKET", "/nonexistent/dir/unetmapd.sock", 1);
  EXPECT_LT(open("/dev/netmap", O_RDWR), 0);
  EXPECT_NE(std::string(unetmap_last_error()).find("/nonexistent/dir"), std::string::npos) << unetmap_last_error();
  setenv("UNETMAP_SOCKET", before.c_str(), 1);
}

}  // namespace
