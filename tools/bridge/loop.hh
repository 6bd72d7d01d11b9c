// SPDX-License-Identifier: BSD-2-Clause
// The life of a bridge: wait, forward, report, until told to stop or a port fails.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "forward.hh"
#include "options.hh"
#include "parts/ring_port.hh"

namespace bridge {

using Port = unetmap::parts::RingPort;

/// One way through the bridge.
struct Direction {
  Port* from;
  Port* to;
  Counters counters{};
  uint64_t reported_packets = 0;
};

class Loop {
 public:
  /// `b` is null for loopback. `stop_fd` becomes readable when the loop shall end.
  Loop(const Options& options, Port& a, Port* b, int stop_fd);

  /// True when stopped; false when a port failed, with the reason in failure().
  bool run();

  const std::string& failure() const { return failure_; }
  bool zero_copy() const { return zero_copy_; }

  /// What was forwarded, for people or as JSON, on stdout.
  void print_summary() const;

 private:
  bool wait(bool& stop);
  bool recover(Port& port);
  bool forward(Direction& direction);
  void report_rates();
  int timeout_ms() const;
  bool fail(const Port& port, const char* action, int error);
  void print_json_summary(double seconds) const;

  using Clock = std::chrono::steady_clock;

  const Options& options_;
  Port* ports_[2];
  int port_count_;
  Direction directions_[2];
  int direction_count_;
  int stop_fd_;
  bool zero_copy_;
  uint32_t failed_waits_ = 0;  ///< in a row, without a packet between them
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_report_ = start_;
  std::string failure_;
};

}  // namespace bridge
