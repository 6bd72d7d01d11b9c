// SPDX-License-Identifier: BSD-2-Clause
#include "wire/start_keeper.hh"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/process_error.hh"
#include "wire/keeper.hh"

extern char** environ;

namespace unetmap::wire {
namespace {

constexpr const char* kProgram = "unetmap-keeper";

bool executable(const std::string& path) { return access(path.c_str(), X_OK) == 0; }

std::string keeper_program(const std::string& beside) {
  if (const char* named = getenv("UNETMAP_KEEPER"); named && *named) return named;
  for (const char* at : {"/", "/../bin/", "/../../bin/", "/../libexec/unetmap/", "/../../libexec/unetmap/"})
    if (std::string path = beside + at + kProgram; executable(path)) return path;
  if (const char* path = getenv("PATH")) {
    std::string dirs = path;
    for (size_t from = 0; from <= dirs.size();) {
      size_t to = std::min(dirs.find(':', from), dirs.size());
      if (std::string at = dirs.substr(from, to - from) + "/" + kProgram; executable(at)) return at;
      from = to + 1;
    }
  }
  return "";
}

// Between fork and exec: system calls only, and raw ones, for in a client the C library's names are ours.
[[noreturn]] void become_keeper(const char* program, int channel, char* const* environment) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int s = 1; s < NSIG; s++)
    if (s != SIGKILL && s != SIGSTOP) signal(s, SIG_DFL);
  if (channel != kKeeperChannelFd)
    syscall(SYS_dup3, channel, kKeeperChannelFd, 0);
  else
    syscall(SYS_fcntl, channel, F_SETFD, 0);
  long null = syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR, 0);
  if (null >= 0) {
    syscall(SYS_dup3, null, 0, 0);
    syscall(SYS_dup3, null, 1, 0);
  }
  syscall(SYS_close_range, kKeeperChannelFd + 1, ~0u, 0);
  const char* argv[] = {kProgram, nullptr};
  execve(program, const_cast<char**>(argv), environment);
  _exit(127);
}

}  // namespace

Result<UniqueFd> start_keeper(const std::string& beside) {
  std::string program = keeper_program(beside);
  if (program.empty())
    return Error{ENXIO,
                 "unetmap-keeper: program not found beside unetmapd nor in PATH; install unetmap, or name the program "
                 "in UNETMAP_KEEPER"};
  if (!executable(program)) return Error::from_errno(errno, "unetmap-keeper: " + program);
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
    return Error::from_errno(errno, "unetmap-keeper: its channel");
  UniqueFd ours(pair[0]), theirs(pair[1]);
  // Without the library in front.
  std::vector<char*> environment;
  for (char** e = environ; *e; e++)
    if (strncmp(*e, "LD_PRELOAD=", 11) != 0) environment.push_back(*e);
  environment.push_back(nullptr);
  // Without fork handlers, and twice: nobody here has to wait for the keeper's end, and no program gets to see a child
  // that is not its own.
  pid_t child = _Fork();
  if (child == 0) {
    setsid();
    pid_t keeper = _Fork();
    if (keeper == 0) become_keeper(program.c_str(), theirs.get(), environment.data());
    _exit(keeper < 0 ? 1 : 0);
  }
  if (child < 0) return process_error(errno, "unetmap-keeper: cannot be started");
  int status = 0;
  long waited;
  do waited = syscall(SYS_wait4, child, &status, 0, nullptr);
  while (waited < 0 && errno == EINTR);
  if (waited == child && status != 0) return process_error(EAGAIN, "unetmap-keeper: cannot be started");
  return ours;
}

}  // namespace unetmap::wire
