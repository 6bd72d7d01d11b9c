// SPDX-License-Identifier: BSD-2-Clause
#include "run.hh"

#include <fmt/core.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <list>
#include <system_error>
#include <thread>

#include "base/json.hh"
#include "base/output.hh"
#include "direction.hh"
#include "parts/json_report.hh"
#include "parts/quantities.hh"
#include "parts/stop.hh"
#include "parts/system.hh"
#include "session.hh"

namespace unetmap::tlem {
namespace {

constexpr uint64_t kReportNs = 1'000'000'000;

int fail(const std::string& text) { return parts::fail("tlem", text); }

uint64_t get(const std::atomic<uint64_t>& counter) { return counter.load(std::memory_order_relaxed); }

class Emulation {
 public:
  explicit Emulation(const Options& options) : options_(options) {}
  // The library says on standard error why a port cannot be opened.
  bool open(const Models& models);
  bool run(std::optional<SessionServer>& session, const Limits& limits);
  void print_summary() const;

 private:
  void report(uint64_t now);
  Result<void> handle(const SessionRequest& request, const Limits& limits);

  const Options& options_;
  parts::RingPort ports_[2];
  std::optional<Router> router_;
  std::list<Direction> ways_;
  uint64_t start_ns_ = parts::now_ns(), report_ns_ = start_ns_, reported_[2] = {};
};

bool Emulation::open(const Models& models) {
  for (int i = 0; i < 2; i++) {
    if (!ports_[i].open(options_.ports[size_t(i)])) return false;
    if (ports_[i].rx.empty() || ports_[i].tx.empty()) {
      fail(options_.ports[size_t(i)] + ": needs rings to send and to receive; leave /R, /T and monitors out");
      return false;
    }
  }
  if (options_.route) {
    std::array<RouterPort, 2> sides;
    for (size_t i = 0; i < 2; i++) {
      auto side = router_port_of(options_.ports[i]);
      if (!side) {
        fail(side.error().text);
        return false;
      }
      sides[i] = *side;
      if (i < options_.gateways.size()) sides[i].gateway = options_.gateways[i];
    }
    router_.emplace(sides);
  }
  for (size_t i = 0; i < 2; i++) {
    ways_.emplace_back(ports_[i], ports_[1 - i], models[i], options_.seed + i, options_.memory_bytes, options_.batch,
                       router_ ? &*router_ : nullptr, i);
  }
  return true;
}

Result<void> Emulation::handle(const SessionRequest& request, const Limits& limits) {
  if (request.end) {
    kill(getpid(), SIGTERM);  // as anybody else would end us
    return {};
  }
  Models models{ways_.front().model(), ways_.back().model()};
  if (auto applied = apply_texts(request.texts, models); !applied) return applied;
  if (auto small = within(models, limits); !small) return small;
  ways_.front().change(models[0]);
  ways_.back().change(models[1]);
  return {};
}

bool Emulation::run(std::optional<SessionServer>& session, const Limits& limits) {
  std::vector<std::thread> threads;
  std::atomic<int> failures{0};
  size_t way = 0;
  for (Direction& direction : ways_) {
    const std::vector<uint16_t>& cpus = options_.processors;
    auto forward = [&direction, &failures, &cpus, way] {
      if (!cpus.empty() && parts::run_on(&cpus[way * 2], 2) != 0) {
        print_err("tlem: cannot run on processors {} and {}\n", cpus[way * 2], cpus[way * 2 + 1]);
      }
      direction.run();
      if (direction.failure().empty()) return;
      failures++;
      kill(getpid(), SIGTERM);  // wakes the others
    };
    try {
      threads.emplace_back(forward);
    } catch (const std::system_error& error) {
      fail(no_thread_text(error.code().value()));
      failures++;
      kill(getpid(), SIGTERM);
      break;
    }
    way++;
  }
  while (!parts::stop_wanted) {
    const uint64_t now = parts::now_ns();
    report(now);
    const int timeout_ms = options_.verbose > 0
                               ? int((report_ns_ + kReportNs - std::min(now, report_ns_ + kReportNs)) / 1'000'000 + 1)
                               : -1;
    pollfd entries[2] = {{parts::stop_event(), POLLIN, 0}, {session ? session->fd() : -1, POLLIN, 0}};
    ::poll(entries, 2, timeout_ms);
    if (entries[1].revents) session->answer([&](const SessionRequest& request) { return handle(request, limits); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Direction& direction : ways_) {
    if (!direction.failure().empty()) fail(direction.failure());
  }
  return failures == 0;
}

void Emulation::report(uint64_t now) {
  if (options_.verbose <= 0 || now - report_ns_ < kReportNs) return;
  size_t way = 0;
  for (const Direction& direction : ways_) {
    const Counters& c = direction.counters();
    const uint64_t sent = get(c.sent);
    print_err("{}: {}pps, {} received, {} sent, {} lost, {} queue full\n", direction.name(),
              parts::scaled(double(sent - reported_[way]) * 1e9 / double(now - report_ns_)), get(c.received), sent,
              get(c.lost), get(c.queue_full));
    reported_[way++] = sent;
  }
  report_ns_ = now;
}

void Emulation::print_summary() const {
  Json list = Json::array();
  for (const Direction& direction : ways_) {
    const Counters& c = direction.counters();
    if (!options_.json) {
      print_out("{}: {} received, {} sent, {} lost, {} queue full, {} no memory, {} unroutable, {} malformed\n",
                direction.name(), get(c.received), get(c.sent), get(c.lost), get(c.queue_full), get(c.no_memory),
                get(c.unroutable), get(c.malformed));
    }
    list.push_back({{"way", direction.name()},
                    {"received", get(c.received)},
                    {"sent", get(c.sent)},
                    {"sent_bytes", get(c.sent_bytes)},
                    {"lost", get(c.lost)},
                    {"queue_full", get(c.queue_full)},
                    {"no_memory", get(c.no_memory)},
                    {"unroutable", get(c.unroutable)},
                    {"malformed", get(c.malformed)}});
  }
  if (options_.json) {
    parts::print_json("tlem", {{"seconds", double(parts::now_ns() - start_ns_) / 1e9}, {"ways", list}});
  }
}

bool wait_for_links(const Options& options) {
  const bool links = std::any_of(options.ports.begin(), options.ports.end(), [](const std::string& port) {
    return port.starts_with("netmap:") && port.find_first_of("{}") == std::string::npos;
  });
  if (!links || options.wait_link_s == 0) return true;
  print_err("tlem: waiting {} s for the links\n", options.wait_link_s);
  pollfd stop{parts::stop_event(), POLLIN, 0};
  return ::poll(&stop, 1, int(options.wait_link_s * 1000)) == 0;
}

}  // namespace

int run(const Options& options) {
  Models models;
  if (auto applied = apply_texts(options.texts, models); !applied) return fail(applied.error().text);
  const Limits limits = options.limits.value_or(limits_of(models));
  if (auto small = within(models, limits); !small) return fail(small.error().text);
  std::optional<SessionServer> session;
  if (!options.session.empty()) {
    const SessionRequest request{options.texts, options.end_session};
    const bool server = !options.end_session && !options.ports.empty();
    if (server) {
      auto opened = SessionServer::open(options.session);
      if (!opened) return fail(opened.error().text);
      if (*opened) session.emplace(std::move(**opened));
    }
    if (!session) {
      auto asked = ask_session(options.session, request);
      return asked ? 0 : fail(asked.error().text);
    }
  }
  Emulation emulation(options);
  if (!emulation.open(models)) return 1;
  if (!wait_for_links(options)) return 0;
  print_err("tlem: ready, {} <-> {}\n", options.ports[0], options.ports[1]);
  const bool ended_well = emulation.run(session, limits);
  emulation.print_summary();
  return ended_well ? 0 : 1;
}

}  // namespace unetmap::tlem
