// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/worker.hh"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

extern char** environ;

namespace unetmap::daemon {
namespace {

constexpr int64_t kEndWithin_ms = 2000;

void kill_process(int pidfd) { (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0); }

// How it ended, in words.
std::string reap_process(int pidfd) {
  siginfo_t info{};
  if (waitid(idtype_t(P_PIDFD), id_t(pidfd), &info, WEXITED | WNOHANG) < 0) return "ended";
  if (info.si_code == CLD_EXITED)
    return info.si_status == 0 ? "ended" : "ended with status " + std::to_string(info.si_status);
  return std::string("killed by signal ") + std::to_string(info.si_status) + " (" + strsignal(info.si_status) + ")";
}

Result<pid_t> spawn(const std::string& program, const std::string& socket_path, int channel) {
  // It finds this daemon, and never starts another one.
  std::vector<std::string> own = {"UNETMAP_SOCKET=" + socket_path, "UNETMAPD=/dev/null"};
  std::vector<char*> environment;
  for (char** e = environ; *e; e++) {
    bool replaced = false;
    for (const char* name : {"LD_PRELOAD=", "UNETMAP_SOCKET=", "UNETMAPD=", "LISTEN_", "NOTIFY_SOCKET="})
      replaced |= strncmp(*e, name, strlen(name)) == 0;
    if (!replaced) environment.push_back(*e);
  }
  for (std::string& each : own) environment.push_back(each.data());
  environment.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
  posix_spawn_file_actions_adddup2(&actions, 0, 1);
  posix_spawn_file_actions_adddup2(&actions, channel, wire::kWorkerChannel);
  posix_spawn_file_actions_addclosefrom_np(&actions, wire::kWorkerChannel + 1);
  sigset_t none, defaults;
  sigemptyset(&none);
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  char name[] = "unetmap-worker";
  char* argv[] = {name, nullptr};
  pid_t child = -1;
  int failed = posix_spawn(&child, program.c_str(), &actions, &attributes, argv, environment.data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (failed) return Error::from_errno(failed, "unetmap-worker: start " + program);
  return child;
}

}  // namespace

std::string helper_program(const char* name, const char* variable) {
  if (const char* named = getenv(variable); named && *named) return named;
  char self[PATH_MAX];
  ssize_t n = readlink("/proc/self/exe", self, sizeof self);
  if (n <= 0 || size_t(n) >= sizeof self) return name;
  std::string path(self, size_t(n));
  return path.substr(0, path.rfind('/') + 1) + name;
}

Result<std::unique_ptr<Worker>> Worker::start(EventLoop& loop, const std::string& socket_path,
                                              const wire::WorkerOrder& order, std::span<const int> fds,
                                              Handlers handlers) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
    return Error::from_errno(errno, order.port + ": channel of its worker");
  UniqueFd ours(pair[0]);
  // Not the number that it gets there: dup2 onto itself would leave it close-on-exec.
  UniqueFd theirs(fcntl(pair[1], F_DUPFD_CLOEXEC, wire::kWorkerChannel + 1));
  close(pair[1]);
  if (!theirs) return Error::from_errno(errno, order.port + ": channel of its worker");
  if (auto sent = wire::send_order(ours.get(), order, fds); !sent) return sent.error();
  auto child = spawn(helper_program("unetmap-worker", "UNETMAP_WORKER"), socket_path, theirs.get());
  if (!child) return Error{child.error().code, order.port + ": " + child.error().text};
  std::unique_ptr<Worker> worker(new Worker(loop, std::move(handlers)));
  worker->pid_ = *child;
  worker->process_ = UniqueFd(int(syscall(SYS_pidfd_open, *child, 0)));
  worker->channel_ = std::move(ours);
  if (!worker->process_) {
    int code = errno;
    ::kill(*child, SIGKILL);
    waitpid(*child, nullptr, 0);
    return Error::from_errno(code, order.port + ": pidfd of its worker");
  }
  Worker* self = worker.get();
  if (auto watched = loop.watch(self->channel_.get(), [self] { self->hear(); }); !watched) return watched.error();
  if (auto watched = loop.watch(self->process_.get(), [self] { self->reap(); }); !watched) return watched.error();
  return worker;
}

Worker::~Worker() {
  if (channel_) loop_.unwatch(channel_.get());
  if (kill_timer_) loop_.cancel(kill_timer_);
  if (!process_) return;
  // Its end is waited for by nobody any more; the loop reaps it.
  int pidfd = process_.release();
  loop_.unwatch(pidfd);
  EventLoop* loop = &loop_;
  uint64_t timer = loop->after(kEndWithin_ms, [pidfd] { kill_process(pidfd); });
  auto gone = [loop, pidfd, timer] {
    loop->cancel(timer);
    (void)reap_process(pidfd);
    loop->unwatch(pidfd);
    close(pidfd);
  };
  if (!loop->watch(pidfd, gone)) kill_process(pidfd);
}

void Worker::stop() {
  if (!send({.op = wire::WorkerOrder::Op::kStop}) && process_) kill_process(process_.get());
  if (!kill_timer_) kill_when_late();
}

// One message a turn: others of this loop are to have theirs.
void Worker::hear() {
  auto report = wire::receive_report(channel_.get());
  if (report) return handlers_.report(std::move(*report));
  if (report.error().code == EAGAIN) return;
  loop_.unwatch(channel_.get());
  if (report.error().code != ENOTCONN) {
    complaint_ = report.error().text;
    kill_process(process_.get());
  } else if (!kill_timer_) {
    kill_when_late();  // it has nothing more to say, and so nothing more to do
  }
}

void Worker::kill_when_late() {
  kill_timer_ = loop_.after(kEndWithin_ms, [this] {
    kill_timer_ = 0;
    if (process_) kill_process(process_.get());
  });
}

// The process has ended: what it said last is heard first.
void Worker::reap() {
  for (;;) {
    auto report = wire::receive_report(channel_.get());
    if (!report) break;
    handlers_.report(std::move(*report));
    if (!process_) return;
  }
  std::string why = reap_process(process_.get());
  loop_.unwatch(process_.get());
  process_.reset();
  if (!complaint_.empty()) why = complaint_;
  auto ended = std::move(handlers_.ended);
  ended(std::move(why));
}

}  // namespace unetmap::daemon
