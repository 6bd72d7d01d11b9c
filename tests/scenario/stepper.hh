// SPDX-License-Identifier: BSD-2-Clause
// Kills a process at the n-th instruction of something that it does.
#pragma once

#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace stepper {

// Runs prepare(), then body(), in a child; kills it after `steps` instructions of the latter. True if that was within it: else it was
// killed when body() had returned, and `steps` is how many instructions it took.
template <class Prepare, class Body>
bool kill_within(uint64_t& steps, Prepare&& prepare, Body&& body) {
  const pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prepare();
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    syscall(SYS_tgkill, getpid(), getpid(), SIGSTOP);
    body();
    syscall(SYS_tgkill, getpid(), getpid(), SIGUSR1);
    _exit(0);
  }
  int status = 0;
  bool within = false;
  if (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP) {
    uint64_t done = 0;
    within = true;
    for (; done < steps; done++) {
      if (ptrace(PTRACE_SINGLESTEP, pid, nullptr, nullptr) < 0 || waitpid(pid, &status, 0) != pid) break;
      if (WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP) continue;
      within = false;  // the end, or it did not come so far
      break;
    }
    steps = done;
  }
  kill(pid, SIGKILL);
  while (waitpid(pid, &status, 0) == pid && !WIFEXITED(status) && !WIFSIGNALED(status)) {
  }
  return within;
}

// How many places a test tries: all of them, or a sample that reaches everywhere.
struct Places {
  uint64_t total, stride;
  static bool all() {
    const char* how = getenv("UNETMAP_TEST_STEPS");
    return how && std::string(how) == "all";
  }
  explicit Places(uint64_t total, uint64_t sample = 30) : total(total), stride(all() ? 1 : total / sample + 1) {}
  // f(n) for each chosen n; other ones within each stretch than at its beginning.
  template <class F>
  void each(const char* what, F&& f) const {
    uint64_t tried = 0;
    for (uint64_t i = 0; i * stride < total; i++) {
      const uint64_t n = i * stride + i * 7919 % stride;
      if (n >= total) break;
      if (!f(n)) {
        printf("%s: not survived: death after %lu of %lu instructions\n", what, n, total);
        return;
      }
      tried++;
    }
    printf("%s: %lu of %lu instructions tried as the last one, all survived\n", what, tried, total);
  }
};

}  // namespace stepper
