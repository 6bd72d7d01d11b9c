// SPDX-License-Identifier: BSD-2-Clause
#include "stop.hh"

#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>

namespace unetmap::parts {
namespace {

int event = -1;

void on_signal(int) {
  const int kept = errno;
  stop_wanted.store(true, std::memory_order_relaxed);
  const uint64_t one = 1;
  (void)!write(event, &one, sizeof one);
  errno = kept;
}

}  // namespace

std::atomic<bool> stop_wanted{false};

void stop_on_signals() {
  event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

int stop_event() { return event; }

}  // namespace unetmap::parts
