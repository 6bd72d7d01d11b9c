// SPDX-License-Identifier: BSD-2-Clause
#include "top.hh"

#include <fmt/core.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <string_view>

#include "answers.hh"
#include "base/json.hh"
#include "base/output.hh"
#include "daemon_link.hh"
#include "parts/stop.hh"
#include "screen.hh"
#include "view.hh"
#include "wire/channel.hh"

namespace unetmap::cli::live {
namespace {

int fail(const std::string& text) {
  print_err("unetmap: top: {}\n", text);
  return kFailed;
}

bool write_out(const std::string& text) {
  return fwrite(text.data(), 1, text.size(), stdout) == text.size() && fflush(stdout) == 0;
}

std::string table(const View& view, const ViewOptions& options) {
  std::string out = view.summary() + "\n" + View::head() + "\n";
  for (const Row& row : view.rows(options)) {
    std::string line = View::line(row);
    out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return out + "\n";
}

// A line, written as it goes: a tree of JSON for a thousand ports costs more than all else of a look.
std::string json_of(const View& view, const ViewOptions& options) {
  std::string out = fmt::format(R"({{"program":"unetmap","version":"{}","error":null,"at_ns":{},"ports":[)",
                                UNETMAP_VERSION, view.sample().at_ns);
  const char* before = "";
  for (const Row& row : view.rows(options)) {
    const Rate& rate = row.rate;
    out += before;
    before = ",";
    out += R"({"name":)";
    append_json(out, row.port->name);
    out += fmt::format(R"(,"tx_pps":{},"tx_bps":{},"rx_pps":{},"rx_bps":{},"lost_pps":{},"sleeps_ps":{},"tx_fill":{},)"
                       R"("rx_fill":{},"asleep":{},"stopped":{}}})",
                       rate.tx_packets, rate.tx_bits, rate.rx_packets, rate.rx_bits, rate.lost, rate.sleeps,
                       row.port->tx.fill(), row.port->rx.fill(), row.life == Life::kAsleep, row.life == Life::kStopped);
  }
  return out + "]}";
}

// Where samples come from; connects anew when the daemon was away.
class Samples {
 public:
  // No value: no daemon runs.
  Result<std::optional<Sample>> next() {
    if (!link_) {
      auto link = DaemonLink::connect(wire::default_socket_path());
      if (!link) return link.error();
      if (!*link) return std::optional<Sample>();
      link_ = std::move(**link);
    }
    auto answer = link_->live();
    if (answer) {
      auto sample = sample_of(*answer);
      return sample ? Result<std::optional<Sample>>(std::move(*sample)) : sample.error();
    }
    link_.reset();
    if (answer.error().code == ENXIO || answer.error().code == EPIPE) return std::optional<Sample>();
    return answer.error();
  }

 private:
  std::optional<DaemonLink> link_;
};

using Clock = std::chrono::steady_clock;

// Plain text, a table each time; a signal or a closed output ends it.
int print_tables(double interval_s, uint64_t count, const ViewOptions& options, bool json) {
  Samples samples;
  View view(process_is_stopped);
  auto next = Clock::now();
  for (uint64_t shown = 0; count == 0 || shown < count;) {
    auto sample = samples.next();
    if (!sample) return fail(sample.error().text);
    if (!*sample)
      return fail("no daemon is running at " + wire::default_socket_path() + "; start a program on a port first");
    view.add(std::move(**sample));
    if (view.has_rates()) {
      if (!write_out(json ? json_of(view, options) + "\n" : table(view, options)))
        return fail(fmt::format("cannot write: {}", strerror(errno)));
      if (++shown == count) break;
    }
    next += std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(interval_s));
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(next - Clock::now()).count();
    pollfd stop{parts::stop_event(), POLLIN, 0};
    ::poll(&stop, 1, int(std::clamp<int64_t>(left, 1, 3'600'000)));
    if (parts::stop_wanted.load(std::memory_order_relaxed)) break;
  }
  return kOk;
}

int full_screen(double interval_s, const ViewOptions& options) {
  Samples samples;
  View view(process_is_stopped);
  auto screen = Screen::open(options, interval_s);
  if (!screen) return fail(screen.error().text);
  auto next = Clock::now();
  while (!(*screen)->ended()) {
    if (Clock::now() >= next && !(*screen)->paused()) {
      next = Clock::now() +
             std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>((*screen)->interval_s()));
      auto sample = samples.next();
      if (!sample) {
        screen->reset();
        return fail(sample.error().text);
      }
      (*screen)->set_daemon(bool(*sample));
      if (*sample) view.add(std::move(**sample));
      (*screen)->draw(view);
    }
    const auto left = (*screen)->paused()
                          ? 3'600'000
                          : std::chrono::duration_cast<std::chrono::milliseconds>(next - Clock::now()).count();
    pollfd events[] = {{STDIN_FILENO, POLLIN, 0}, {parts::stop_event(), POLLIN, 0}};
    if (::poll(events, 2, int(std::clamp<int64_t>(left, 0, 3'600'000))) < 0 && errno != EINTR) break;
    if (parts::stop_wanted.load(std::memory_order_relaxed)) break;
    if ((events[0].revents & (POLLHUP | POLLERR | POLLNVAL)) && !(events[0].revents & POLLIN))
      break;  // the terminal is gone
    if ((*screen)->take_keys(view)) (*screen)->draw(view);
  }
  return kOk;
}

}  // namespace

TopCommand::TopCommand(Command& app) {
  top_ = app.add_subcommand("top", "ports, rates and losses, live on the whole screen");
  top_.add_option("-i,--interval", interval_s_, "seconds between two looks")
      .in_range(0.1, 3600.0)
      .capture_default_str();
  top_.add_option("-n,--count", count_, "end after so many tables (plain text)");
  std::vector<std::string> orders;
  for (Order order : kOrders) orders.emplace_back(order_name(order));
  top_.add_option("-s,--sort", order_, "sent, received, bits, lost, fill or name").one_of(orders).capture_default_str();
  top_.add_option("-f,--filter", filter_, "only ports with this in their name");
  top_.add_flag("--plain", plain_, "plain text, also on a terminal");
  top_.add_flag("--json", json_, "a line of JSON each time");
}

// Where the cursor can be put anywhere; a dumb terminal, as in an editor, has lines only.
static bool on_a_screen() {
  const char* term = getenv("TERM");
  return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && !(term && std::string_view(term) == "dumb");
}

bool TopCommand::chosen() const { return top_.parsed(); }

int TopCommand::run() {
  ViewOptions options;
  options.filter = filter_;
  for (Order order : kOrders)
    if (order_ == order_name(order)) options.order = order;
  parts::stop_on_signals();
  const bool screen = !plain_ && !json_ && count_ == 0 && on_a_screen();
  if (screen) return full_screen(interval_s_, options);
  signal(SIGPIPE, SIG_DFL);
  return print_tables(interval_s_, count_, options, json_);
}

}  // namespace unetmap::cli::live
