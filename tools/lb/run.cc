// SPDX-License-Identifier: BSD-2-Clause
#include "run.hh"

#include <fmt/core.h>
#include <poll.h>
#include <syslog.h>

#include <chrono>
#include <list>

#include "balancer.hh"
#include "base/json.hh"
#include "base/output.hh"
#include "parts/json_report.hh"
#include "parts/ring_port.hh"
#include "parts/stop.hh"

namespace unetmap::lb {
namespace {

using Clock = std::chrono::steady_clock;
using parts::RingPort;

int fail(const std::string& text) { return parts::fail("lb", text); }

class Run {
 public:
  explicit Run(const Options& options) : options_(options) {}
  ~Run() {
    if (balancer_ && input_.rx.size()) input_.put_extra_buffers(balancer_->release_buffers());
  }
  Run(const Run&) = delete;

  bool open();
  bool loop();
  void print_summary();

 private:
  bool open_pipe(RingPort& pipe, const std::string& name);
  bool wait();
  bool check(const RingPort& port, short events);
  void report();
  Json statistics() const;
  int timeout_ms() const;

  const Options& options_;
  RingPort input_;
  std::list<RingPort> pipes_;  // in the order of the groups
  std::optional<Balancer> balancer_;
  Clock::time_point start_ = Clock::now(), syslog_at_ = start_, stdout_at_ = start_;
  bool leftover_ = false;  // packets in the input that the last look did not take
};

// In the input's memory, also below another port; it is ours alone to send to. A reader that came first has made the
// pipe in memory of its own: then packets are copied there.
bool Run::open_pipe(RingPort& pipe, const std::string& name) {
  nmctx* errors = nmctx_get();
  const int told = errors->verbose;
  errors->verbose = 0;
  const bool shared = pipe.open(fmt::format("{}/xT@{}", name, input_.memory_id()));
  errors->verbose = told;
  return shared || pipe.open(name + "/xT");
}

// The library says on standard error why a port cannot be opened.
bool Run::open() {
  if (!input_.open(options_.input, options_.extra_buffers)) return false;
  if (input_.rx.empty()) {
    fail(options_.input + ": has no rings to receive from");
    return false;
  }
  std::vector<uint32_t> extra = input_.take_extra_buffers();
  if (extra.size() < options_.extra_buffers) {
    print_err("lb: {} of {} extra buffers granted\n", extra.size(), options_.extra_buffers);
  }
  std::vector<Group> groups;
  bool swap = true;
  for (const GroupSpec& spec : options_.groups) {
    Group group;
    for (uint32_t i = 0; i < spec.pipes; i++) {
      RingPort& pipe = pipes_.emplace_back();
      if (!open_pipe(pipe, pipe_name(spec, i, '{'))) {
        input_.put_extra_buffers(extra);
        return false;
      }
      swap = swap && pipe.same_region(input_);
      group.push_back({pipe_name(spec, i, '}'), pipe.tx.data(), pipe.same_region(input_)});
    }
    groups.push_back(std::move(group));
  }
  print_err("lb: zerocopy {}\n", swap ? "enabled" : "disabled");
  balancer_.emplace(std::move(groups), std::move(extra));
  return true;
}

bool Run::check(const RingPort& port, short events) {
  if (!(events & (POLLERR | POLLHUP | POLLNVAL))) return true;
  fail(
      fmt::format("{}: the daemon has ended, the port is gone, or its rings were spoilt: start lb again", port.name()));
  return false;
}

int Run::timeout_ms() const {
  if (options_.busy_wait || leftover_) return 0;
  Clock::time_point until = Clock::time_point::max();
  if (options_.syslog_interval_s)
    until = std::min(until, syslog_at_ + std::chrono::seconds(options_.syslog_interval_s));
  if (options_.stdout_interval_s)
    until = std::min(until, stdout_at_ + std::chrono::seconds(options_.stdout_interval_s));
  if (until == Clock::time_point::max()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
  return int(std::max<int64_t>(left, 0));
}

// For packets, and for room in pipes that hold back some. poll also hands over what the rings have.
bool Run::wait() {
  std::vector<pollfd> entries{{parts::stop_event(), POLLIN, 0}, {input_.fd(), POLLIN, 0}};
  auto pipe = pipes_.begin();
  std::vector<RingPort*> polled{nullptr, &input_};
  for (Group& group : balancer_->groups()) {
    for (Pipe& each : group) {
      RingPort& port = *pipe++;
      if (!each.ask_for_more()) continue;
      entries.push_back({port.fd(), POLLOUT, 0});
      polled.push_back(&port);
    }
  }
  if (::poll(entries.data(), entries.size(), timeout_ms()) < 0 && errno != EINTR) {
    fail(fmt::format("poll: {}", strerror(errno)));
    return false;
  }
  for (size_t i = 1; i < entries.size(); i++) {
    if (!check(*polled[i], entries[i].revents)) return false;
  }
  return true;
}

bool Run::loop() {
  while (!parts::stop_wanted) {
    if (!wait()) return false;
    balancer_->drain();
    uint32_t taken = 0;
    leftover_ = false;
    for (RingView& ring : input_.rx) {
      taken += balancer_->take(ring, options_.batch);
      leftover_ = leftover_ || ring.ready();
    }
    balancer_->publish();
    if (taken) {
      for (RingPort& pipe : pipes_) {
        if (!pipe.tx[0].pending()) continue;
        if (int code = pipe.sync_tx()) {
          fail(fmt::format("{}: {}: start lb again", pipe.name(), strerror(code)));
          return false;
        }
      }
    }
    report();
    if (options_.stdout_interval_s && !output_works()) return false;
  }
  return true;
}

Json Run::statistics() const {
  const Totals totals = balancer_->totals();
  Json pipes = Json::array();
  for (const Group& group : balancer_->groups()) {
    for (const Pipe& pipe : group) {
      pipes.push_back({{"pipe", pipe.name},
                       {"packets", pipe.packets},
                       {"bytes", pipe.bytes},
                       {"dropped", pipe.dropped},
                       {"queued_slots", pipe.queue.size()}});
    }
  }
  return {{"port", input_.name()},
          {"seconds", std::chrono::duration<double>(Clock::now() - start_).count()},
          {"received", totals.received},
          {"non_ip", totals.non_ip},
          {"malformed", totals.malformed},
          {"forwarded", totals.forwarded},
          {"dropped", totals.dropped},
          {"free_buffers", balancer_->free_buffers()},
          {"pipes", pipes}};
}

void Run::report() {
  const auto now = Clock::now();
  if (options_.stdout_interval_s && now - stdout_at_ >= std::chrono::seconds(options_.stdout_interval_s)) {
    stdout_at_ = now;
    parts::print_json("lb", statistics());
  }
  if (options_.syslog_interval_s && now - syslog_at_ >= std::chrono::seconds(options_.syslog_interval_s)) {
    syslog_at_ = now;
    const Totals totals = balancer_->totals();
    syslog(LOG_INFO, "%s: %llu received, %llu forwarded, %llu dropped", input_.name().c_str(),
           static_cast<unsigned long long>(totals.received), static_cast<unsigned long long>(totals.forwarded),
           static_cast<unsigned long long>(totals.dropped));
  }
}

void Run::print_summary() {
  balancer_->drop_queues();
  if (options_.json) {
    parts::print_json("lb", statistics());
    return;
  }
  const Totals totals = balancer_->totals();
  for (const Group& group : balancer_->groups()) {
    for (const Pipe& pipe : group) {
      print_out("{}: {} packets {} bytes, {} dropped\n", pipe.name, pipe.packets, pipe.bytes, pipe.dropped);
    }
  }
  print_out("{} packets forwarded. {} packets dropped. Total {}\n", totals.forwarded, totals.dropped,
            totals.forwarded + totals.dropped);
}

}  // namespace

int run(const Options& options) {
  Run lb(options);
  if (options.syslog_interval_s) openlog("lb", LOG_PID | LOG_NDELAY, LOG_LOCAL1);
  if (!lb.open()) return 1;
  if (options.wait_link_s && options.input.starts_with("netmap:") &&
      options.input.find_first_of("{}") == std::string::npos) {
    pollfd stop{parts::stop_event(), POLLIN, 0};
    print_err("lb: waiting {} s for the link\n", options.wait_link_s);
    if (::poll(&stop, 1, int(options.wait_link_s * 1000)) > 0) return 0;
  }
  print_err("lb: ready, reading from {}\n", options.input);
  const bool ended_well = lb.loop();
  lb.print_summary();
  return ended_well ? 0 : 1;
}

}  // namespace unetmap::lb
