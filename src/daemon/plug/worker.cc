// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/plug/worker.hh"

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

#include "base/process_error.hh"

extern char** environ;

namespace unetmap::daemon {
namespace {

constexpr int64_t kEndWithin_ms = 2000;
constexpr int64_t kReapAfter_ms = 10;  // of a hang-up: a process that dies closes its descriptors first

void kill_process(int pidfd) { (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0); }

// How it ended, in words; it stays to be reaped.
std::string how_it_ended(int pidfd) {
  siginfo_t info{};
  if (waitid(idtype_t(P_PIDFD), id_t(pidfd), &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
    return "ended";
  if (info.si_code == CLD_EXITED)
    return info.si_status == 0 ? "ended" : "ended with status " + std::to_string(info.si_status);
  return std::string("killed by signal ") + std::to_string(info.si_status) + " (" + strsignal(info.si_status) + ")";
}

void reap_process(int pidfd) {
  siginfo_t info{};
  (void)waitid(idtype_t(P_PIDFD), id_t(pidfd), &info, WEXITED | WNOHANG);
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
  if (failed) return process_error(failed, "unetmap-worker: start " + program);
  return child;
}

}  // namespace

std::string helper_program(const char* name, const char* variable) {
  if (const char* named = getenv(variable); named && *named) return named;
  char self[PATH_MAX];
  ssize_t n = readlink("/proc/self/exe", self, sizeof self);
  if (n <= 0 || size_t(n) >= sizeof self) return name;
  const std::string path(self, size_t(n)), beside = path.substr(0, path.rfind('/') + 1);
  // As built, and as installed.
  for (const char* at : {"", "../libexec/unetmap/"})
    if (std::string program = beside + at + name; access(program.c_str(), X_OK) == 0) return program;
  return beside + name;
}

Result<std::shared_ptr<Worker::Process>> Worker::start_process(EventLoop& loop, const std::string& socket_path,
                                                               int channel) {
  auto child = spawn(helper_program("unetmap-worker", "UNETMAP_WORKER"), socket_path, channel);
  if (!child) return child.error();
  UniqueFd pidfd(int(syscall(SYS_pidfd_open, *child, 0)));
  if (!pidfd) {
    int code = errno;
    ::kill(*child, SIGKILL);
    waitpid(*child, nullptr, 0);
    return Error::from_errno(code, "pidfd of its worker");
  }
  return std::shared_ptr<Process>(new Process{loop, std::move(pidfd), *child});
}

// Nobody needs it any more, and its channels have been closed: it ends by itself, or is killed. The loop reaps it.
Worker::Process::~Process() {
  int fd = pidfd.release();
  EventLoop* loop_of = &loop;
  uint64_t timer = loop.after(kEndWithin_ms, [fd] { kill_process(fd); });
  auto gone = [loop_of, fd, timer] {
    loop_of->cancel(timer);
    reap_process(fd);
    loop_of->unwatch(fd);
    close(fd);
  };
  if (!loop.watch(fd, gone)) kill_process(fd);
}

Result<std::unique_ptr<Worker>> Worker::start(EventLoop& loop, const std::string& socket_path,
                                              const wire::WorkerOrder& order, std::span<const int> fds,
                                              Handlers handlers, Worker* host) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
    return Error::from_errno(errno, order.port + ": channel of its worker");
  UniqueFd ours(pair[0]);
  // Not the number that it gets there: dup2 onto itself would leave it close-on-exec.
  UniqueFd theirs(fcntl(pair[1], F_DUPFD_CLOEXEC, wire::kWorkerChannel + 1));
  close(pair[1]);
  if (!theirs) return Error::from_errno(errno, order.port + ": channel of its worker");
  if (auto sent = wire::send_order(ours.get(), order, fds); !sent) return sent.error();
  std::unique_ptr<Worker> worker(new Worker(loop, std::move(handlers)));
  // A host that is about to be gone is none.
  int channel = theirs.get();
  if (host && wire::send_order(host->channel_.get(), {.op = wire::WorkerOrder::Op::kAdopt}, {&channel, 1})) {
    worker->process_ = host->process_;
  } else {
    auto process = start_process(loop, socket_path, channel);
    if (!process) return Error{process.error().code, order.port + ": " + process.error().text};
    worker->process_ = *process;
  }
  worker->channel_ = std::move(ours);
  Worker* self = worker.get();
  if (auto watched = loop.watch(self->channel_.get(), [self] { self->hear(); }); !watched) return watched.error();
  return worker;
}

Worker::~Worker() {
  if (channel_) loop_.unwatch(channel_.get());
  if (kill_timer_) loop_.cancel(kill_timer_);
  if (reap_timer_) loop_.cancel(reap_timer_);
}

void Worker::stop() {
  if (!send({.op = wire::WorkerOrder::Op::kStop}) && process_) kill_process(process_->pidfd.get());
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
    kill_process(process_->pidfd.get());
  }
  // Its end has hung up: all that it said was heard. If the process has ended, how is known a little later.
  reap_timer_ = loop_.after(kReapAfter_ms, [this] {
    reap_timer_ = 0;
    reap();
  });
}

void Worker::kill_when_late() {
  kill_timer_ = loop_.after(kEndWithin_ms, [this] {
    kill_timer_ = 0;
    if (process_) kill_process(process_->pidfd.get());
  });
}

void Worker::reap() {
  std::string why = !complaint_.empty() ? complaint_ : how_it_ended(process_->pidfd.get());
  auto ended = std::move(handlers_.ended);
  ended(std::move(why));
}

}  // namespace unetmap::daemon
