// SPDX-License-Identifier: BSD-2-Clause
#include "view.hh"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "tables.hh"

namespace unetmap::cli::live {
namespace {

constexpr size_t kNameWidth = 16;

std::string percent(double part) { return part > 0 && part < 0.01 ? "<1%" : fmt::format("{:.0f}%", 100 * part); }

const char* life_name(Life life) {
  switch (life) {
    case Life::kRuns:
      return "run";
    case Life::kAsleep:
      return "sleep";
    case Life::kStopped:
      return "STOP";
    case Life::kUnplugged:
      return "nobdy";
    case Life::kNobody:
      return "-";
  }
  return "?";
}

double key_of(const Row& row, Order order) {
  switch (order) {
    case Order::kSent:
      return row.rate.tx_packets;
    case Order::kReceived:
      return row.rate.rx_packets;
    case Order::kBits:
      return row.rate.tx_bits + row.rate.rx_bits;
    case Order::kLost:
      return row.rate.lost;
    case Order::kFill:
      return std::max(row.port->tx.fill(), row.port->rx.fill());
    case Order::kName:
      break;
  }
  return 0;
}

Rate operator+(const Rate& a, const Rate& b) {
  return {a.tx_packets + b.tx_packets, a.tx_bits + b.tx_bits, a.rx_packets + b.rx_packets, a.rx_bits + b.rx_bits,
          a.lost + b.lost,             a.sleeps + b.sleeps,   a.tx_lost + b.tx_lost};
}

void remember(std::deque<Rate>& history, const Rate& rate) {
  history.push_back(rate);
  if (history.size() > View::kHistory) history.pop_front();
}

std::string pids_text(const std::vector<pid_t>& pids) {
  std::string out;
  for (pid_t pid : pids) out += (out.empty() ? "" : " ") + std::to_string(pid);
  return out.empty() ? "nobody" : out;
}

}  // namespace

const char* order_name(Order order) {
  switch (order) {
    case Order::kName:
      return "name";
    case Order::kSent:
      return "sent";
    case Order::kReceived:
      return "received";
    case Order::kBits:
      return "bits";
    case Order::kLost:
      return "lost";
    case Order::kFill:
      return "fill";
  }
  return "?";
}

bool process_is_stopped(pid_t pid) {
  FILE* stat = fopen(fmt::format("/proc/{}/stat", pid).c_str(), "re");
  if (!stat) return false;
  // "pid (name) state": the name may hold anything, so the state is behind the last parenthesis.
  char text[512];
  size_t bytes = fread(text, 1, sizeof text - 1, stat);
  fclose(stat);
  text[bytes] = 0;
  std::string_view line(text);
  size_t end = line.rfind(')');
  return end != line.npos && end + 2 < line.size() && (line[end + 2] == 'T' || line[end + 2] == 't');
}

void View::add(Sample sample) {
  rates_ = rates_between(now_, sample);
  now_ = std::move(sample);
  if (++samples_ < 2) return;
  std::map<uint64_t, std::deque<Rate>> kept;
  Rate sum;
  for (size_t i = 0; i < now_.ports.size(); i++) {
    auto& history = kept[now_.ports[i].unique];
    if (auto found = history_.find(now_.ports[i].unique); found != history_.end()) history = std::move(found->second);
    remember(history, rates_[i]);
    sum = sum + rates_[i];
  }
  history_ = std::move(kept);
  remember(total_, sum);
}

Life View::life_of(const Port& port, std::map<pid_t, bool>& stopped) const {
  for (pid_t pid : port.pids) {
    // A program may have a thousand ports; it is asked about once.
    auto [known, first] = stopped.try_emplace(pid, false);
    if (first) known->second = is_stopped_(pid);
    if (known->second) return Life::kStopped;
  }
  if (!port.connected) return Life::kUnplugged;
  if (port.pids.empty()) return Life::kNobody;
  return port.asleep ? Life::kAsleep : Life::kRuns;
}

std::vector<Row> View::rows(const ViewOptions& options) const {
  std::vector<Row> out;
  std::map<pid_t, bool> stopped;
  for (size_t i = 0; i < now_.ports.size(); i++) {
    const Port& port = now_.ports[i];
    if (!options.filter.empty() && port.name.find(options.filter) == std::string::npos) continue;
    out.push_back({&port, i < rates_.size() ? rates_[i] : Rate{}, life_of(port, stopped)});
  }
  auto before = [&](const Row& a, const Row& b) {
    const double x = key_of(a, options.order), y = key_of(b, options.order);
    if (x != y) return x > y;
    return a.port->name < b.port->name;
  };
  std::stable_sort(out.begin(), out.end(), before);
  if (options.reverse) std::reverse(out.begin(), out.end());
  return out;
}

const std::deque<Rate>& View::history(uint64_t unique) const {
  static const std::deque<Rate> kNone;
  auto found = history_.find(unique);
  return found == history_.end() ? kNone : found->second;
}

std::string View::summary() const {
  std::map<std::string, int> switches;
  for (const Port& port : now_.ports)
    if (!port.sw.empty()) switches[port.sw]++;
  const Rate all = total_.empty() ? Rate{} : total_.back();
  return fmt::format("{} ports, {} switches: sent {} pkt/s {} bit/s, received {}, lost {}", now_.ports.size(),
                     switches.size(), short_number(all.tx_packets), short_number(all.tx_bits),
                     short_number(all.rx_packets), short_number(all.tx_lost));
}

std::string View::head() {
  return fmt::format("{:<{}} {:>6} {:>6} {:>6} {:>6} {:>5} {:>4} {:>4} {:>6} {:>6} {:<5}", "PORT", kNameWidth, "SENT/s",
                     "bit/s", "RECV/s", "bit/s", "SIZE", "TXQ", "RXQ", "LOST/s", "WAKE/s", "STATE");
}

std::string View::line(const Row& row) {
  const Rate& r = row.rate;
  return fmt::format("{:<{}} {:>6} {:>6} {:>6} {:>6} {:>5} {:>4} {:>4} {:>6} {:>6} {:<5}",
                     short_name(row.port->name, kNameWidth), kNameWidth, short_number(r.tx_packets),
                     short_number(r.tx_bits), short_number(r.rx_packets), short_number(r.rx_bits),
                     r.packets() > 0 ? fmt::format("{:.0f}", r.packet_bytes()) : "-", percent(row.port->tx.fill()),
                     percent(row.port->rx.fill()), short_number(r.lost), short_number(r.sleeps), life_name(row.life));
}

std::vector<std::string> View::page(const Row& row, size_t width) const {
  const Port& port = *row.port;
  std::vector<std::string> out;
  out.push_back(fmt::format("{}  ({}{}{})", port.name, port.kind, port.sw.empty() ? "" : " on " + port.sw,
                            port.lossless ? ", lossless" : ""));
  out.push_back(fmt::format("held by {}; {}{}", pids_text(port.pids), life_name(row.life),
                            port.state.empty() ? "" : "; " + port.state));
  out.push_back("");
  const std::deque<Rate>& past = history(port.unique);
  const size_t columns = width > 24 ? width - 24 : 1;
  out.push_back(fmt::format("sent/s     {:>8}  {}", short_number(row.rate.tx_packets),
                            sparkline(past, &Rate::tx_packets, columns)));
  out.push_back(fmt::format("received/s {:>8}  {}", short_number(row.rate.rx_packets),
                            sparkline(past, &Rate::rx_packets, columns)));
  out.push_back(
      fmt::format("lost/s     {:>8}  {}", short_number(row.rate.lost), sparkline(past, &Rate::lost, columns)));
  out.push_back("");
  out.push_back(fmt::format("{:<24} {:>20} {:>20}", "", "tx", "rx"));
  auto both = [&](const char* what, uint64_t tx, uint64_t rx) {
    out.push_back(fmt::format("{:<24} {:>20} {:>20}", what, tx, rx));
  };
  both("packets", port.tx.packets, port.rx.packets);
  both("bytes", port.tx.bytes, port.rx.bytes);
  both("syncs", port.tx.syncs, port.rx.syncs);
  both("slots in use", port.tx.used, port.rx.used);
  both("slots", port.tx.slots, port.rx.slots);
  out.push_back(fmt::format("{:<24} {:>20} {:>20}", "sleeps", "", port.sleeps));
  for (const char* direction : {"tx", "rx"}) {
    for (const auto& [cause, packets] : (direction[0] == 't' ? port.tx : port.rx).lost)
      out.push_back(
          fmt::format("lost, {} {:<12} {:>20}  {}", direction, cause, packets, loss_meaning("lost_" + cause)));
  }
  return out;
}

std::vector<std::string> View::gone_lines() const {
  std::vector<std::string> out;
  for (const Gone& gone : now_.gone) {
    const Port& port = gone.port;
    out.push_back(fmt::format(
        "{:<{}} {:>7} ago  sent {:>6}  received {:>6}  lost {:>6}", short_name(port.name, kNameWidth), kNameWidth,
        gone.gone_s < 120 ? fmt::format("{:.0f} s", gone.gone_s) : fmt::format("{:.0f} min", gone.gone_s / 60),
        short_number(double(port.tx.packets)), short_number(double(port.rx.packets)),
        short_number(double(port.tx.all_lost() + port.rx.all_lost()))));
  }
  return out;
}

std::string sparkline(const std::deque<Rate>& history, double Rate::*value, size_t width) {
  static constexpr const char* kEighths[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const size_t count = std::min(width, history.size());
  double largest = 0;
  for (size_t i = history.size() - count; i < history.size(); i++) largest = std::max(largest, history[i].*value);
  std::string out;
  for (size_t i = history.size() - count; i < history.size(); i++) {
    const double part = largest > 0 ? history[i].*value / largest : 0;
    // Something is shown for anything above nothing.
    out += kEighths[part > 0 ? std::clamp(lround(part * 8), 1L, 8L) : 0];
  }
  return out;
}

}  // namespace unetmap::cli::live
