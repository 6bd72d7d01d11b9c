// SPDX-License-Identifier: BSD-2-Clause
#include "loop.hh"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "parts/json_report.hh"

namespace bridge {
namespace {

constexpr auto kReportInterval = std::chrono::seconds(1);
/// A port may report an error when someone spoilt its rings, and go on; but not for ever without a packet.
constexpr uint32_t kMaxFailedWaits = 100;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

const char* failure_remedy(int error) {
  return error == ENXIO || error == EPIPE || error == ENOTCONN || error == EBADF
             ? "the daemon has ended or the port is gone: start bridge again"
             : "start bridge again; if it stays, look at what else uses the port ('unetmap ports')";
}

}  // namespace

Loop::Loop(const Options& options, Port& a, Port* b, int stop_fd)
    : options_(options),
      ports_{&a, b},
      port_count_(b ? 2 : 1),
      directions_{{&a, b ? b : &a}, {b, &a}},
      direction_count_(b ? 2 : 1),
      stop_fd_(stop_fd),
      zero_copy_(options.zero_copy && (!b || a.same_region(*b))) {}

bool Loop::run() {
  bool stop = false;
  while (!stop) {
    if (!wait(stop)) return false;
    for (int i = 0; i < direction_count_; ++i) {
      if (!forward(directions_[i])) return false;
    }
    if (options_.verbose) report_rates();
  }
  return true;
}

/// Asks for room where packets wait for it or have not left yet, and for packets where there are none: never for what
/// is there already.
bool Loop::wait(bool& stop) {
  pollfd fds[3] = {};
  for (int i = 0; i < port_count_; ++i) fds[i].fd = ports_[i]->fd();
  for (int i = 0; i < direction_count_; ++i) {
    const int from = i;
    const int to = port_count_ == 2 ? 1 - i : 0;
    const bool queued = any_queued(directions_[i].from->rx);
    if (!queued) fds[from].events |= POLLIN;
    if (queued || any_pending(directions_[i].to->tx)) fds[to].events |= POLLOUT;
  }
  pollfd& stop_entry = fds[port_count_];
  stop_entry = {stop_fd_, POLLIN, 0};
  if (poll(fds, static_cast<nfds_t>(port_count_) + 1, timeout_ms()) < 0 && errno != EINTR) {
    return fail(*ports_[0], "wait for", errno);
  }
  stop = stop_entry.revents != 0;
  for (int i = 0; i < port_count_; ++i) {
    if (options_.verbose > 1) {
      fprintf(stderr, "poll %s: events 0x%x revents 0x%x\n", ports_[i]->name().c_str(), fds[i].events, fds[i].revents);
    }
    if ((fds[i].revents & (POLLERR | POLLHUP | POLLNVAL)) && !recover(*ports_[i])) return false;
  }
  return true;
}

/// A ring that was found inconsistent has been set up afresh and works on; anything else does not.
bool Loop::recover(Port& port) {
  int error = port.sync_tx();
  if (!error || error == EINVAL) error = port.sync_rx();
  if (error && error != EINVAL) return fail(port, "use", error);
  if (++failed_waits_ > kMaxFailedWaits) return fail(port, "use", error ? error : EIO);
  port.reload();
  return true;
}

bool Loop::forward(Direction& direction) {
  const uint32_t moved =
      move_rings(direction.from->rx, direction.to->tx, options_.batch_packets, zero_copy_, direction.counters);
  if (!moved) return true;
  failed_waits_ = 0;
  const int error = direction.to->sync_tx();
  return !error || recover(*direction.to);
}

int Loop::timeout_ms() const {
  if (!options_.verbose) return -1;
  const auto left = last_report_ + kReportInterval - Clock::now();
  const auto left_ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  return static_cast<int>(std::max<int64_t>(left_ms, 0));
}

void Loop::report_rates() {
  const double elapsed_s = seconds_since(last_report_);
  if (elapsed_s < std::chrono::duration<double>(kReportInterval).count()) return;
  for (int i = 0; i < direction_count_; ++i) {
    Direction& direction = directions_[i];
    const uint64_t packets = direction.counters.packets - direction.reported_packets;
    direction.reported_packets = direction.counters.packets;
    fprintf(stderr, "%s -> %s: %.0f pps (%llu packets in %.3f s)\n", direction.from->name().c_str(),
            direction.to->name().c_str(), static_cast<double>(packets) / elapsed_s,
            static_cast<unsigned long long>(packets), elapsed_s);
  }
  last_report_ = Clock::now();
}

bool Loop::fail(const Port& port, const char* action, int error) {
  failure_ =
      std::string("cannot ") + action + " " + port.name() + ": " + strerror(error) + ": " + failure_remedy(error);
  return false;
}

void Loop::print_json_summary(double seconds) const {
  unetmap::Json ways = unetmap::Json::array();
  for (int i = 0; i < direction_count_; ++i) {
    const Direction& direction = directions_[i];
    const Counters& count = direction.counters;
    ways.push_back({{"from", direction.from->name()},
                    {"to", direction.to->name()},
                    {"packets", count.packets},
                    {"bytes", count.bytes},
                    {"dropped",
                     {{"too_long", count.dropped_too_long},
                      {"bad_slot", count.dropped_bad_slot},
                      {"bad_chain", count.dropped_bad_chain}}}});
  }
  unetmap::parts::print_json("bridge", {{"zero_copy", zero_copy_}, {"seconds", seconds}, {"directions", ways}});
}

void Loop::print_summary() const {
  const double seconds = seconds_since(start_);
  if (options_.json) return print_json_summary(seconds);
  for (int i = 0; i < direction_count_; ++i) {
    const Direction& direction = directions_[i];
    const Counters& count = direction.counters;
    printf("%s -> %s: %llu packets %llu bytes in %.2f seconds", direction.from->name().c_str(),
           direction.to->name().c_str(), static_cast<unsigned long long>(count.packets),
           static_cast<unsigned long long>(count.bytes), seconds);
    if (count.dropped()) {
      printf(", dropped %llu (%llu too long, %llu with a bad slot, %llu with a bad chain)",
             static_cast<unsigned long long>(count.dropped()), static_cast<unsigned long long>(count.dropped_too_long),
             static_cast<unsigned long long>(count.dropped_bad_slot),
             static_cast<unsigned long long>(count.dropped_bad_chain));
    }
    printf("\n");
  }
}

}  // namespace bridge
