// SPDX-License-Identifier: BSD-2-Clause
#include "report.hh"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "base/json.hh"

namespace unetmap::pktgen {
namespace {

constexpr double kFramingBits = 24 * 8;  // preamble, gap and CRC

double bits(const Totals& totals, Units units) {
  return 8.0 * double(totals.bytes) + (units.framing ? kFramingBits * double(totals.packets) : 0);
}

}  // namespace

std::string scaled(double value, bool normalize) {
  if (!normalize) return fmt::format("{:.0f} ", value);
  static constexpr const char* kUnits[] = {"", "K", "M", "G", "T"};
  size_t unit = 0;
  while (value >= 1000 && unit + 1 < std::size(kUnits)) {
    value /= 1000;
    unit++;
  }
  return fmt::format("{:.3f} {}", value, kUnits[unit]);
}

void RateWindow::add(double rate) {
  rates_.push_back(rate);
  if (rates_.size() > kIntervals) rates_.pop_front();
}

double RateWindow::mean() const {
  double sum = 0;
  for (double rate : rates_) sum += rate;
  return rates_.empty() ? 0 : sum / double(rates_.size());
}

double RateWindow::deviation() const {
  double middle = mean(), sum = 0;
  for (double rate : rates_) sum += (rate - middle) * (rate - middle);
  return rates_.empty() ? 0 : std::sqrt(sum / double(rates_.size()));
}

std::string rate_line(const Totals& since, uint64_t usec, uint32_t min_space, Units units, const RateWindow* window) {
  double per_second = usec ? 1e6 / double(usec) : 0;
  std::string spread;
  if (window) {
    spread = fmt::format("[avg/std {}/{}pps] ", scaled(window->mean(), units.normalize),
                         scaled(window->deviation(), units.normalize));
  }
  return fmt::format("{}pps {}({}pkts {}bps in {} usec) {:.2f} avg_batch {} min_space",
                     scaled(double(since.packets) * per_second, units.normalize), spread,
                     scaled(double(since.packets), units.normalize),
                     scaled(bits(since, units) * per_second, units.normalize), usec,
                     since.events ? double(since.packets) / double(since.events) : 0.0, min_space);
}

std::string summary(const char* verb, const Totals& totals, double seconds, Units units) {
  if (totals.packets == 0) return fmt::format("{} nothing.\n", verb);
  std::string text = fmt::format("{} {} packets {} bytes {} events {} bytes each in {:.2f} seconds.\n", verb,
                                 totals.packets, totals.bytes, totals.events, totals.bytes / totals.packets, seconds);
  double per_second = 1 / std::max(seconds, 1e-6);
  text += fmt::format("Speed: {}pps Bandwidth: {}bps (raw {}bps). Average batch: {:.2f} pkts\n",
                      scaled(double(totals.packets) * per_second, units.normalize),
                      scaled(8.0 * double(totals.bytes) * per_second, units.normalize),
                      scaled(bits(totals, units) * per_second, units.normalize),
                      double(totals.packets) / double(std::max<uint64_t>(1, totals.events)));
  return text;
}

std::string latency_text(const Histogram& latency, uint64_t sent, uint64_t lost) {
  if (latency.count() == 0) return fmt::format("RTT over 0 packets: none of {} came back\n", sent);
  std::string text =
      fmt::format("RTT over {} packets: min {} av {:.0f} ns\n", latency.count(), latency.min(), latency.average());
  text += fmt::format("RTT percentiles: min {} avg {:.0f} p50 {} p90 {} p99 {} p99.9 {} max {} ns, {} sent, {} lost\n",
                      latency.min(), latency.average(), latency.percentile(50), latency.percentile(90),
                      latency.percentile(99), latency.percentile(99.9), latency.max(), sent, lost);
  latency.for_each_octave([&](uint64_t low, uint64_t high, uint64_t count) {
    int bar = int(std::ceil(50.0 * double(count) / double(latency.count())));
    text += fmt::format("{:>14} .. {:<14} ns {:>10} {}\n", low, high, count, std::string(size_t(bar), '#'));
  });
  return text;
}

std::string sequence_text(const SequenceCounts& counts) {
  if (counts.gaps + counts.out_of_order + counts.too_short == 0) return {};
  return fmt::format("Sequence: {} gaps, {} numbers missing, {} out of order, {} packets too short\n", counts.gaps,
                     counts.missing, counts.out_of_order, counts.too_short);
}

std::string json_text(const Options& options, const Outcome& outcome) {
  Units units{options.normalize, options.framing};
  double per_second = outcome.seconds > 0 ? 1 / outcome.seconds : 0;
  auto counts = [](const Totals& t) { return Json{{"packets", t.packets}, {"bytes", t.bytes}, {"events", t.events}}; };
  Json out{{"program", "pkt-gen"}, {"version", UNETMAP_VERSION}, {"error", nullptr}};
  if (!outcome.failure.empty()) out["error"] = outcome.failure;
  out["function"] = name_of(options.function);
  out["interface"] = options.interface;
  out.update(counts(outcome.totals));
  out["seconds"] = outcome.seconds;
  out["pps"] = double(outcome.totals.packets) * per_second;
  out["bps"] = 8.0 * double(outcome.totals.bytes) * per_second;
  out["raw_bps"] = bits(outcome.totals, units) * per_second;
  out["average_batch"] = double(outcome.totals.packets) / double(std::max<uint64_t>(1, outcome.totals.events));
  out["interval_pps"] = outcome.interval_rates;
  out["threads"] = Json::array();
  for (const Totals& totals : outcome.by_thread) out["threads"].push_back(counts(totals));
  if (outcome.latency) {
    const Histogram& h = *outcome.latency;
    Json buckets = Json::array();
    h.for_each_octave([&](uint64_t low, uint64_t high, uint64_t count) {
      buckets.push_back({{"from", low}, {"to", high}, {"count", count}});
    });
    out["sent"] = outcome.pings_sent;
    out["lost"] = outcome.pings_lost;
    out["rtt_ns"] = {{"count", h.count()},          {"min", h.min()},          {"avg", h.average()},
                     {"p50", h.percentile(50)},     {"p90", h.percentile(90)}, {"p99", h.percentile(99)},
                     {"p99.9", h.percentile(99.9)}, {"max", h.max()},          {"buckets", buckets}};
  }
  if (options.function == Function::pong) out["unanswered"] = outcome.unanswered;
  if (options.receives()) out["missed"] = outcome.missed;
  if (outcome.sequence) {
    const SequenceCounts& s = *outcome.sequence;
    out["sequence"] = {
        {"gaps", s.gaps}, {"missing", s.missing}, {"out_of_order", s.out_of_order}, {"too_short", s.too_short}};
  }
  return unetmap::json_text(out);
}

}  // namespace unetmap::pktgen
