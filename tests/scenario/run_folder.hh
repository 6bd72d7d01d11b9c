// SPDX-License-Identifier: BSD-2-Clause
// A folder of a test's run, for sockets: it goes, and the daemon that listens in it, when the test does - also where the test is
// killed, as ctest does with what takes too long.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

namespace run_folder {

// Who listens at a socket; 0 where nobody does.
inline pid_t listener_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return 0;
  strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  for (int type : {SOCK_SEQPACKET, SOCK_STREAM}) {
    const int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    ucred peer{};
    socklen_t bytes = sizeof peer;
    const bool found = connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
                       getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) == 0;
    close(fd);
    if (found) return peer.pid;
  }
  return 0;
}

inline void await_end(int process, int timeout_ms) {
  pollfd fds{process, POLLIN, 0};
  while (poll(&fds, 1, timeout_ms) < 0 && errno == EINTR) {
  }
}

// Daemons in a folder end, and what is in it goes.
inline void clear(const std::string& folder) {
  constexpr int kPatienceMs = 20000;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder, ignored)) {
    if (!entry.is_socket(ignored)) continue;
    const pid_t pid = listener_of(entry.path());
    std::string name;
    std::ifstream("/proc/" + std::to_string(pid) + "/comm") >> name;
    if (pid <= 1 || name != "unetmapd") continue;
    const int daemon = int(syscall(SYS_pidfd_open, pid, 0));
    kill(pid, SIGTERM);
    await_end(daemon, kPatienceMs);
    close(daemon);
  }
  std::filesystem::remove_all(folder, ignored);
}

// PATTERN as mkdtemp() wants it. Nobody's child clears it behind this process: ctest kills children, too.
inline std::string make(std::string pattern) {
  if (!mkdtemp(pattern.data())) return "";
  const int self = int(syscall(SYS_pidfd_open, getpid(), 0));
  const pid_t child = fork();
  if (child == 0) {
    if (fork() != 0) _exit(0);
    setsid();
    const int quiet = open("/dev/null", O_RDWR | O_CLOEXEC);  // ctest waits until nobody has its pipe any more
    for (int fd = 0; fd <= 2; fd++) dup2(quiet, fd);
    constexpr int kTest = 3;
    dup2(self, kTest);
    syscall(SYS_close_range, kTest + 1, ~0u, 0);
    await_end(kTest, -1);
    clear(pattern);
    _exit(0);
  }
  waitpid(child, nullptr, 0);
  close(self);
  return pattern;
}

}  // namespace run_folder
