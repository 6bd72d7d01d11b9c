// SPDX-License-Identifier: BSD-2-Clause
// A worker process (src/worker) as the daemon sees it: started, asked, and gone one day.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "daemon/process/event_loop.hh"
#include "wire/worker.hh"

namespace unetmap::daemon {

// The program of that name beside this one, or what the environment variable names.
std::string helper_program(const char* name, const char* variable);

class Worker {
 public:
  struct Handlers {
    std::function<void(wire::WorkerReport&&)> report;
    // Once, when the process has ended or can no longer be talked to: why, in words. May destroy the worker.
    std::function<void(std::string)> ended;
  };

  // Starts the process and sends it `order`. `socket_path`: where this daemon listens. With a `host`, no process is
  // started: that one's serves this order as well. Then `ended` means its part in it.
  static Result<std::unique_ptr<Worker>> start(EventLoop& loop, const std::string& socket_path,
                                               const wire::WorkerOrder& order, std::span<const int> fds,
                                               Handlers handlers, Worker* host = nullptr);
  // Hangs up, on which the process ends by itself; one that does not is killed.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  Result<void> send(const wire::WorkerOrder& order) { return wire::send_order(channel_.get(), order); }
  // Asks it to end in good order; it is killed if that takes long. `ended` comes later.
  void stop();
  pid_t pid() const { return process_ ? process_->pid : -1; }

 private:
  Worker(EventLoop& loop, Handlers handlers) : loop_(loop), handlers_(std::move(handlers)) {}
  // The process, which ends when the last that it works for is gone.
  struct Process {
    EventLoop& loop;
    UniqueFd pidfd;
    pid_t pid;
    ~Process();
  };

  static Result<std::shared_ptr<Process>> start_process(EventLoop& loop, const std::string& socket_path, int channel);
  void hear();
  void kill_when_late();
  void reap();

  EventLoop& loop_;
  Handlers handlers_;
  UniqueFd channel_;
  std::shared_ptr<Process> process_;
  uint64_t kill_timer_ = 0, reap_timer_ = 0;
  std::string complaint_;  // what it did that it must not
};

}  // namespace unetmap::daemon
