// SPDX-License-Identifier: BSD-2-Clause
// The texts pkt-gen prints: live rates and the summary in the forms that scripts for netmap's pkt-gen look for, and
// JSON.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "counters.hh"
#include "histogram.hh"
#include "options.hh"

namespace unetmap::pktgen {

struct Units {
  bool normalize = true;  // K, M, G
  bool framing = false;   // 24 bytes more a packet in bit rates
};

// "14.881 M", to be followed by the unit; "14880952 " when not normalized.
std::string scaled(double value, bool normalize);

// Rates of the last intervals, for mean and deviation.
class RateWindow {
 public:
  void add(double rate);
  double mean() const;
  double deviation() const;

 private:
  static constexpr size_t kIntervals = 40;
  std::deque<double> rates_;
};

// "1.234 Mpps (1.310 Mpkts 629.1 Mbps in 1061000 usec) 511.99 avg_batch 0 min_space"
std::string rate_line(const Totals& since, uint64_t usec, uint32_t min_space, Units units, const RateWindow* window);

// "Sent N packets N bytes N events N bytes each in S.SS seconds." and the line of speeds, or "Sent nothing."
std::string summary(const char* verb, const Totals& totals, double seconds, Units units);

std::string latency_text(const Histogram& latency, uint64_t sent, uint64_t lost);

struct SequenceCounts {
  uint64_t gaps = 0;
  uint64_t missing = 0;  // numbers skipped by those gaps
  uint64_t out_of_order = 0;
  uint64_t too_short = 0;
  SequenceCounts& operator+=(const SequenceCounts& other) {
    gaps += other.gaps;
    missing += other.missing;
    out_of_order += other.out_of_order;
    too_short += other.too_short;
    return *this;
  }
};
// Empty when all numbers came in order.
std::string sequence_text(const SequenceCounts& counts);

struct Outcome {
  Totals totals;
  std::vector<Totals> by_thread;
  double seconds = 0;
  std::vector<double> interval_rates;  // packets a second, one for each report
  std::optional<Histogram> latency;    // ping
  uint64_t pings_sent = 0;
  uint64_t pings_lost = 0;
  uint64_t unanswered = 0;  // pong: requests dropped for want of room
  std::optional<SequenceCounts> sequence;
  uint64_t missed = 0;  // receivers: packets lost for want of room in their rings
  std::string failure;  // empty: none
};
std::string json_text(const Options& options, const Outcome& outcome);

}  // namespace unetmap::pktgen
