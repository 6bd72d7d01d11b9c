// SPDX-License-Identifier: BSD-2-Clause
#include "tap_loop.hh"

#include <poll.h>

#include <algorithm>

#include "parts/alarm.hh"
#include "parts/stop.hh"

namespace unetmap::cli {
namespace {

constexpr uint64_t kProgress_ns = 500'000'000;

}  // namespace

Result<void> run_tap(SwitchTap& tap, const TapLoop& loop) {
  const uint64_t start = parts::now_ns(), end = loop.duration_ns ? start + loop.duration_ns : UINT64_MAX;
  uint64_t progress = start + kProgress_ns;
  bool enough = false, gone = false;
  while (!enough && !gone) {
    const uint64_t now = parts::now_ns(), until = std::min(progress, end);
    pollfd entries[2] = {{tap.fd(), POLLIN, 0}, {parts::stop_event(), POLLIN, 0}};
    const int wait_ms = now < until ? int((until - now + 999'999) / 1'000'000) : 0;
    if (poll(entries, 2, wait_ms) < 0 && errno != EINTR) return Error::from_errno(errno, "tap: wait");
    gone = entries[0].revents & (POLLERR | POLLHUP | POLLNVAL);
    if (auto taken = tap.take([&](const TapRecord& record) -> Result<bool> {
          auto more = loop.take(record);
          enough = more && !*more;
          return more;
        });
        !taken)
      return taken;
    const uint64_t at = parts::now_ns();
    enough = enough || parts::stop_wanted || at >= end;
    const bool shows = at >= progress;
    if (shows) progress = at + kProgress_ns;
    if (auto done = loop.after(shows); !done) return done;
  }
  if (gone) return Error{ENXIO, "the daemon has ended, and its switches with it; start again"};
  return {};
}

}  // namespace unetmap::cli
