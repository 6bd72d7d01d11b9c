// SPDX-License-Identifier: BSD-2-Clause
// Reaching the daemon, and starting it on demand: the first client of a user finds no socket, takes the lock beside
// it, starts unetmapd and waits for its word that it listens. Others meanwhile wait for the lock.
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "base/process_error.hh"
#include "client/link/rpc.hh"
#include "client/link/running.hh"
#include "wire/channel.hh"

extern char** environ;

namespace unetmap::client {
namespace {

// All raw system calls: the C library's names are ours in this object.
UniqueFd raw_open(const char* path, int flags, mode_t mode) {
  return UniqueFd(int(syscall(SYS_openat, AT_FDCWD, path, flags, mode)));
}

// At a place that nobody named, another user may have put a socket before us. Who names a socket means that daemon (in a
// container its user may even have no number of ours).
Result<void> check_owner(int fd, const std::string& path) {
  if (const char* named = getenv("UNETMAP_SOCKET"); named && *named) return {};
  ucred peer{};
  socklen_t bytes = sizeof peer;
  if (syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) < 0)
    return Error::from_errno(errno, "unetmapd at " + path);
  if (peer.uid == geteuid() || peer.uid == 0) return {};
  return Error{EACCES, "unetmapd at " + path + ": run by user " + std::to_string(peer.uid) + ", neither you nor root; if " +
                           "that is the one you mean, name it in UNETMAP_SOCKET, else remove its folder"};
}

Result<UniqueFd> try_connect(const std::string& path, int flags) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return Error{ENAMETOOLONG, "UNETMAP_SOCKET " + path + ": longer than 107 characters; choose a shorter path"};
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | flags, 0));
  if (!fd) return Error::from_errno(errno, "socket");
  int flags_now = int(syscall(SYS_fcntl, fd.get(), F_GETFL, 0));
  if (flags & SOCK_NONBLOCK) syscall(SYS_fcntl, fd.get(), F_SETFL, flags_now & ~O_NONBLOCK);
  int r;
  do r = int(syscall(SYS_connect, fd.get(), &address, sizeof address));
  while (r < 0 && errno == EINTR);
  if (r < 0) {
    Error error = Error::from_errno(errno, "unetmapd at " + path);
    if (error.code == EACCES)
      error.text += "; it is another user's: run as that user, or name one of your own in UNETMAP_SOCKET";
    return error;
  }
  if (flags & SOCK_NONBLOCK) syscall(SYS_fcntl, fd.get(), F_SETFL, flags_now);
  if (auto trusted = check_owner(fd.get(), path); !trusted) return trusted.error();
  return fd;
}

std::string directory_of(const std::string& path) {
  size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

bool executable(const std::string& path) { return syscall(SYS_faccessat, AT_FDCWD, path.c_str(), X_OK) == 0; }

// $UNETMAPD, or beside this library as built and as installed, or in $PATH.
std::string daemon_program() {
  if (const char* named = getenv("UNETMAPD"); named && *named) return named;
  Dl_info info;
  if (dladdr(reinterpret_cast<const void*>(&connect_daemon), &info) && info.dli_fname) {
    std::string here = directory_of(info.dli_fname);
    for (const char* at : {"/../bin/unetmapd", "/../../bin/unetmapd", "/unetmapd"})
      if (executable(here + at)) return here + at;
  }
  if (const char* path = getenv("PATH")) {
    std::string dirs = path;
    for (size_t from = 0; from <= dirs.size();) {
      size_t to = std::min(dirs.find(':', from), dirs.size());
      if (std::string at = dirs.substr(from, to - from) + "/unetmapd"; executable(at)) return at;
      from = to + 1;
    }
  }
  return "";
}

// Starts the daemon detached from us, and waits until it listens or has said why it does not.
Result<void> start_daemon(const std::string& path) {
  std::string program = daemon_program();
  if (program.empty())
    return Error{ENXIO, "unetmapd: program not found beside libunetmap.so nor in PATH; install unetmap, or name the "
                        "program in UNETMAPD"};
  int ready[2];
  if (pipe2(ready, O_CLOEXEC) < 0) return Error::from_errno(errno, "pipe");
  UniqueFd ready_read(ready[0]), ready_write(ready[1]);
  // Without our library in front: the daemon is no client. dup2 in the child clears close-on-exec.
  std::vector<char*> environment;
  for (char** e = environ; *e; e++)
    if (strncmp(*e, "LD_PRELOAD=", 11) != 0) environment.push_back(*e);
  environment.push_back(nullptr);
  const char* argv[] = {"unetmapd", "--socket", path.c_str(), "--ready-fd", "3", "--idle-exit", "5", nullptr};
  if (const char* seconds = getenv("UNETMAP_IDLE_EXIT"); seconds && *seconds) argv[6] = seconds;
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
  posix_spawn_file_actions_adddup2(&actions, 0, 1);
  posix_spawn_file_actions_adddup2(&actions, ready_write.get(), 3);
  posix_spawn_file_actions_adddup2(&actions, 3, 2);
  posix_spawn_file_actions_addclosefrom_np(&actions, 4);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK);
  pid_t child = -1;
  int failed = posix_spawn(&child, program.c_str(), &actions, &attributes, const_cast<char**>(argv), environment.data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (failed)
    return process_error(failed, "unetmapd: cannot be started: " + program,
                         "; name the program in UNETMAPD, or leave that unset");
  ready_write.reset();
  // One byte 0: it listens. Otherwise what it has to say on its standard error, up to its end.
  std::string said;
  char buffer[512];
  for (;;) {
    long n = syscall(SYS_read, ready_read.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    said.append(buffer, size_t(n));
    if (said.find('\0') != std::string::npos) {
      // It detached: the process that we started has done its work.
      syscall(SYS_wait4, child, nullptr, 0, nullptr);
      return {};
    }
  }
  syscall(SYS_wait4, child, nullptr, 0, nullptr);
  while (!said.empty() && said.back() == '\n') said.pop_back();
  if (said.empty()) said = program + " ended without a word; see what unetmapd --foreground says";
  return Error{ENXIO, "unetmapd: cannot be started: " + said};
}

}  // namespace

Result<UniqueFd> connect_running_daemon() { return try_connect(wire::default_socket_path(), SOCK_CLOEXEC); }

Result<UniqueFd> connect_daemon(int flags) {
  std::string path = wire::default_socket_path(), lock_path = path + ".start";
  auto fd = try_connect(path, flags);
  if (fd || (fd.error().code != ENOENT && fd.error().code != ECONNREFUSED)) return fd;
  mkdir(directory_of(path).c_str(), 0700);
  UniqueFd lock = raw_open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (!lock) {
    Error error = Error::from_errno(errno, "unetmapd: none answers at " + path + ", and none can be started there: " + lock_path);
    error.text += "; name a place where you may write in UNETMAP_SOCKET";
    return error;
  }
  while (flock(lock.get(), LOCK_EX) < 0 && errno == EINTR) {
  }
  fd = try_connect(path, flags);
  if (fd || (fd.error().code != ENOENT && fd.error().code != ECONNREFUSED)) return fd;
  if (auto started = start_daemon(path); !started) return started.error();
  return try_connect(path, flags);
}

}  // namespace unetmap::client
