// SPDX-License-Identifier: BSD-2-Clause
#include "wire/spawn_keeper.hh"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "wire/keeper.hh"

extern char** environ;

namespace unetmap::wire {
namespace {

// Raw system calls: in a client the C library's names may be ours.
bool executable(const std::string& path) { return syscall(SYS_faccessat, AT_FDCWD, path.c_str(), X_OK) == 0; }

int wait_for(pid_t child) {
  int status = 0;
  long r;
  do r = syscall(SYS_wait4, child, &status, 0, nullptr);
  while (r < 0 && errno == EINTR);
  // ECHILD: the program ignores its children, and so never hears how they end.
  return r < 0 ? 0 : status;
}

}  // namespace

std::string helper_program(const std::string& name, const std::vector<std::string>& folders) {
  std::string variable = name;
  std::transform(variable.begin(), variable.end(), variable.begin(),
                 [](unsigned char c) { return c == '-' ? '_' : toupper(c); });
  if (const char* named = getenv(variable.c_str()); named && *named) return named;
  for (const std::string& folder : folders)
    if (std::string path = folder + "/" + name; executable(path)) return path;
  return "";
}

std::string own_folder() {
  char path[4096];
  long n = syscall(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", path, sizeof path);
  std::string out(path, n > 0 ? size_t(n) : 0);
  size_t slash = out.rfind('/');
  return slash == std::string::npos ? "." : out.substr(0, slash);
}

Result<UniqueFd> spawn_keeper(const std::string& program) {
  if (program.empty())
    return Error{ENOENT,
                 "unetmap-keeper: program not found; install unetmap whole, or name the program in UNETMAP_KEEPER"};
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
    return Error::from_errno(errno, "unetmap-keeper: channel");
  UniqueFd ours(fds[0]), theirs(fds[1]);
  // It is no client, and what it prints is for people.
  std::vector<char*> environment;
  for (char** each = environ; *each; each++)
    if (!std::string_view(*each).starts_with("LD_PRELOAD=")) environment.push_back(*each);
  environment.push_back(nullptr);
  const char* argv[] = {"unetmap-keeper", nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_adddup2(&actions, theirs.get(), kKeeperChannelFd);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
  posix_spawn_file_actions_adddup2(&actions, 0, 1);
  posix_spawn_file_actions_addclosefrom_np(&actions, kKeeperChannelFd + 1);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t child = -1;
  int failed =
      posix_spawn(&child, program.c_str(), &actions, &attributes, const_cast<char**>(argv), environment.data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (failed) return Error::from_errno(failed, "unetmap-keeper: start " + program);
  theirs.reset();
  // The first process ends at once, leaving the keeper to itself.
  if (int status = wait_for(child); status != 0)
    return Error{EIO, "unetmap-keeper: " + program + " did not start: status " + std::to_string(status)};
  return ours;
}

}  // namespace unetmap::wire
