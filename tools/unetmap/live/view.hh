// SPDX-License-Identifier: BSD-2-Clause
// What `unetmap top` shows, as lines of text: the same on a screen and in a pipe. Knows no terminal.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <vector>

#include "sample.hh"

namespace unetmap::cli::live {

enum class Order { kName, kSent, kReceived, kBits, kLost, kFill };
inline constexpr Order kOrders[] = {Order::kSent, Order::kReceived, Order::kBits,
                                    Order::kLost, Order::kFill,     Order::kName};
const char* order_name(Order order);

// How a port's program is at this moment.
enum class Life { kRuns, kAsleep, kStopped, kUnplugged, kNobody };

struct Row {
  const Port* port;  // of the view's sample
  Rate rate;
  Life life = Life::kRuns;
};

// What to show, as the keys and options have it.
struct ViewOptions {
  Order order = Order::kSent;
  bool reverse = false;
  std::string filter;  // part of a port's or switch's name
};

// Keeps the last samples, and each port's recent rates.
class View {
 public:
  static constexpr size_t kHistory = 120;  // samples

  // Of a stopped process, /proc tells; tests bring their own.
  using IsStopped = bool (*)(pid_t);
  explicit View(IsStopped is_stopped) : is_stopped_(is_stopped) {}

  void add(Sample sample);
  bool has_rates() const { return samples_ >= 2; }

  // They live until the next add().
  std::vector<Row> rows(const ViewOptions& options) const;
  const Sample& sample() const { return now_; }
  // Rates of a port, the oldest first.
  const std::deque<Rate>& history(uint64_t unique) const;
  const std::deque<Rate>& total_history() const { return total_; }

  // One line for all that there is; the table's head; a row; the lines of one port's page; those that died lately.
  std::string summary() const;
  static std::string head();
  static std::string line(const Row& row);
  std::vector<std::string> page(const Row& row, size_t width) const;
  std::vector<std::string> gone_lines() const;

 private:
  // `stopped`: what is known of processes already.
  Life life_of(const Port& port, std::map<pid_t, bool>& stopped) const;

  IsStopped is_stopped_;
  Sample now_;
  std::vector<Rate> rates_;
  std::map<uint64_t, std::deque<Rate>> history_;
  std::deque<Rate> total_;
  size_t samples_ = 0;
};

bool process_is_stopped(pid_t pid);

// Values as columns of eighths, the last ones that fit `width`; the largest fills a column.
std::string sparkline(const std::deque<Rate>& history, double Rate::*value, size_t width);

}  // namespace unetmap::cli::live
