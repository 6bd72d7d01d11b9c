// SPDX-License-Identifier: BSD-2-Clause
// The main thread opens everything, starts a thread for each share of the work and then only waits for signals: its
// timer for the next report, SIGUSR1 from a thread that ends, SIGINT and SIGTERM from the user.
#include "run.hh"

#include <fmt/core.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <system_error>
#include <thread>
#include <vector>

#include "base/output.hh"
#include "interface.hh"
#include "log.hh"
#include "pacer.hh"
#include "parts/capture_file.hh"
#include "parts/system.hh"
#include "worker.hh"

namespace unetmap::pktgen {
namespace {

constexpr int kThreadEnded = SIGUSR1;  // to the main thread
constexpr int kWakeUp = SIGUSR2;       // to a thread in poll: look at `cancel`
constexpr uint64_t kMs = 1'000'000;
// timeout(1) sends its signal to its child, and then to the group that the child is in.
constexpr uint64_t kSameRequestNs = 200 * kMs;
constexpr uint64_t kShortestReportNs = 10 * kMs;  // less says nothing about a rate

using Workers = std::vector<std::unique_ptr<Worker>>;

sigset_t main_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGINT, SIGTERM, kThreadEnded}) sigaddset(&set, signal);
  return set;
}

// A shell script's background has SIGINT ignored: one that comes while ports open would be lost. Blocked it is kept until it is
// looked at; elsewhere it ends the program at once.
void keep_ignored_interrupt() {
  struct sigaction now {};
  sigaction(SIGINT, nullptr, &now);
  if (now.sa_handler != SIG_IGN) return;
  sigset_t interrupt;
  sigemptyset(&interrupt);
  sigaddset(&interrupt, SIGINT);
  pthread_sigmask(SIG_BLOCK, &interrupt, nullptr);
}

void work(Worker& w, int cpu, pthread_t main_thread) {
  parts::name_thread(fmt::format("pkt-gen-{}", w.index));
  bool pinned = true;
  if (cpu >= 0) {
    const auto processor = uint16_t(cpu);
    const int error = parts::run_on(&processor, 1);
    pinned = error == 0;
    if (error)
      w.failure = fmt::format("unable to pin a thread to CPU {}: {}; choose another with -a", cpu, strerror(error));
  }
  static constexpr void (*kBodies[])(Worker&) = {run_rx, run_tx, run_ping, run_pong, run_txseq, run_rxseq};
  if (pinned) kBodies[size_t(w.run.options.function)](w);
  if (w.end_ns == 0) w.end_ns = now_ns();
  w.counters.publish(w.totals);
  w.finished.store(true, std::memory_order_release);
  pthread_kill(main_thread, kThreadEnded);
}

Result<void> prepare_port(Run& run, Workers& workers) {
  const Options& o = run.options;
  Result<Port> opened = Port::open(o);
  if (!opened) return opened.error();
  auto first = std::make_unique<Port>(std::move(*opened));
  if (o.vnet_header.value_or(0)) {
    if (Result<void> set = first->set_vnet_header(*o.vnet_header); !set) return set.error();
    run.frame.vnet_header = *o.vnet_header;
  } else if (Result<uint32_t> length = first->vnet_header()) {
    run.frame.vnet_header = std::min(*length, kMaxVnetHeader);
    if (*length) say(fmt::format("{}: frames start with a virtio-net header of {} bytes here", o.interface, *length));
  } else if (o.verbosity) {
    say(length.error().text);
  }
  if (o.verbosity) say(first->describe());
  if (o.extra_buffers) {
    say(fmt::format("{}: {} extra buffers of {} asked for", o.interface, first->extra_buffers(), o.extra_buffers));
  }
  Port* leader = first.get();
  workers[0]->port = std::move(first);
  for (unsigned i = 1; i < o.threads; i++) {
    Result<Port> ring = leader->open_ring(i, o);
    if (!ring) return ring.error();
    workers[i]->port = std::make_unique<Port>(std::move(*ring));
  }
  return {};
}

Result<void> prepare(Run& run, Workers& workers) {
  const Options& o = run.options;
  run.frame.source = *o.source;
  run.frame.destination = *o.destination;
  run.frame.destination_mac = *o.destination_mac;
  run.frame.random_source = o.has(kRandomSource);
  run.frame.random_destination = o.has(kRandomDestination);
  run.frame.bytes = o.bytes;
  run.frame.seed = now_ns();
  for (unsigned i = 0; i < o.threads; i++) {
    workers.emplace_back(new Worker{.run = run, .index = i, .quota = share_of(o.count, i, o.threads)});
  }
  if (o.backend == Backend::netmap) {
    if (Result<void> opened = prepare_port(run, workers); !opened) return opened.error();
  } else {
    Result<std::unique_ptr<FrameIo>> io = open_frame_io(o);
    if (!io) return io.error();
    run.io = std::move(*io);
  }
  run.frame.source_mac = o.source_mac ? *o.source_mac : own_mac(o);
  if (!o.packet_file.empty()) {
    Result<Capture> capture = Capture::read(o.packet_file, run.frame.vnet_header);
    if (!capture) return capture.error();
    run.capture = std::make_unique<Capture>(std::move(*capture));
    if (o.once) {
      for (auto& w : workers) {
        // Thread i sends packets i, i + threads, ... of the file.
        uint64_t count = run.capture->count();
        uint64_t share = count > w->index ? (count - w->index - 1) / o.threads + 1 : 0;
        w->quota = std::min(w->quota, share);
      }
    }
  }
  if (!o.write_file.empty()) {
    Result<CaptureWriter> writer = CaptureWriter::create(o.write_file);
    if (!writer) return writer.error();
    run.writer = std::make_unique<CaptureWriter>(std::move(*writer));
  }
  return {};
}

void announce(const Run& run, const Workers& workers) {
  const Options& o = run.options;
  unsigned queues = workers[0]->port ? workers[0]->port->queues(o.sends()) : 1;
  unsigned cpus = o.cpus.value_or(1) ? o.cpus.value_or(1) : unsigned(sysconf(_SC_NPROCESSORS_ONLN));
  const char* verb = o.sends() ? "Sending on" : o.receives() ? "Receiving from" : "Working on";
  fprintf(run.live, "%s %s: %u queues, %u threads and %u cpus.\n", verb, o.interface.c_str(), queues, o.threads, cpus);
  if (o.sends() && !run.capture) {
    fprintf(run.live, "%s -> %s (%s -> %s)\n", to_string(*o.source).c_str(), to_string(*o.destination).c_str(),
            to_string(run.frame.source_mac).c_str(), to_string(run.frame.destination_mac).c_str());
  } else if (run.capture) {
    fprintf(run.live, "%zu packets of %s\n", run.capture->count(), o.packet_file.c_str());
    if (uint64_t shortened = run.capture->shortened()) say(parts::shortened_note(shortened));
  }
}

// False when the user gave up meanwhile.
bool wait_for_link(const Run& run, const Workers& workers) {
  const Options& o = run.options;
  bool hardware = workers[0]->port && !workers[0]->port->is_software();
  if (o.wait_s.value_or(hardware ? 2 : 0) == 0) return true;
  uint32_t seconds = o.wait_s.value_or(2);
  live(stderr, "wait_for_link", __LINE__, fmt::format("Wait {} secs for phy reset", seconds));
  uint64_t until = now_ns() + uint64_t{seconds} * 1000 * kMs;
  while (now_ns() < until) {
    if (!o.wait_s && link_is_up(o)) break;  // a wait that was asked for is waited in full
    sigset_t signals = main_signals();
    timespec nap{0, 50 * long(kMs)};
    int got = sigtimedwait(&signals, nullptr, &nap);
    if (got == SIGINT || got == SIGTERM) return false;
  }
  return true;
}

class Reporter {
 public:
  Reporter(Run& run, Workers& workers, Outcome& outcome)
      : run_(run), workers_(workers), outcome_(outcome), lines_(run.options.json) {}

  // Until all threads have ended.
  void watch() {
    const uint64_t interval = uint64_t{run_.options.report_ms} * kMs;
    last_ns_ = now_ns();
    uint64_t next = last_ns_ + interval;
    while (true) {
      bool all_ended = check_threads();
      uint64_t now = now_ns();
      if (now >= next || all_ended) {
        if (now - last_ns_ >= kShortestReportNs) report(now);
        next = std::max(next + interval, now);
      }
      if (all_ended) return;
      uint64_t left = next - std::min(next, now);
      if (run_.cancel.load(std::memory_order_relaxed)) {
        // A signal that comes just before a thread enters poll is lost on it, so it is sent until the thread has ended.
        for (auto& w : workers_) {
          if (!w->finished.load(std::memory_order_acquire)) pthread_kill(threads_[w->index].native_handle(), kWakeUp);
        }
        left = std::min(left, 20 * kMs);
      }
      wait_for_signal(left);
    }
  }

  void start() {
    lines_.say("start", __LINE__, "Ready...");
    pthread_t main_thread = pthread_self();
    unsigned online = unsigned(sysconf(_SC_NPROCESSORS_ONLN));
    for (auto& w : workers_) {
      int cpu = cpu_of_thread(run_.options, w->index, online);
      try {
        threads_.emplace_back(work, std::ref(*w), cpu, main_thread);
      } catch (const std::system_error& error) {
        outcome_.failure = no_thread_text(error.code().value());
        run_.cancel = true;
        for (auto& none : workers_)
          if (none->index >= w->index) none->finished.store(true, std::memory_order_release);
        return;
      }
    }
  }
  void join() {
    for (auto& thread : threads_) thread.join();
  }

 private:
  bool check_threads() {
    bool all = true;
    for (auto& w : workers_) {
      if (!w->finished.load(std::memory_order_acquire)) {
        all = false;
      } else if (!w->failure.empty()) {
        run_.cancel = true;  // the others' part alone is no result
      }
    }
    return all;
  }

  void wait_for_signal(uint64_t ns) {
    sigset_t signals = main_signals();
    timespec limit{time_t(ns / 1'000'000'000), long(ns % 1'000'000'000)};
    int got = sigtimedwait(&signals, nullptr, &limit);
    if (got != SIGINT && got != SIGTERM) return;
    const uint64_t now = now_ns();
    if (got == SIGINT)
      lines_.say("sigint_h", __LINE__, fmt::format("received control-C on thread {:#x}", uintptr_t(pthread_self())));
    if (!run_.cancel.exchange(true)) {
      asked_ns_ = now;
    } else if (now - asked_ns_ > kSameRequestNs) {
      _exit(128 + got);  // asked twice: do not wait for anything
    }
  }

  void report(uint64_t now) {
    Totals totals;
    uint64_t space = 0;
    bool space_seen = false;
    for (auto& w : workers_) {
      totals += w->counters.sample();
      uint32_t least = w->counters.take_least_space();
      space_seen |= least != Counters::kNoSpaceSeen;
      if (least != Counters::kNoSpaceSeen) space += least;
    }
    Totals since = totals - last_;
    uint64_t usec = (now - last_ns_) / 1000;
    double rate = double(since.packets) * 1e6 / double(usec);
    window_.add(rate);
    outcome_.interval_rates.push_back(rate);
    lines_.say("main_thread", __LINE__,
               rate_line(since, usec, space_seen ? uint32_t(space) : 0, {run_.options.normalize, run_.options.framing},
                         run_.options.has(kRateStatistics) ? &window_ : nullptr));
    if (ferror(stdout)) run_.cancel = true;  // nobody can read what we find out
    last_ = totals;
    last_ns_ = now;
  }

  Run& run_;
  Workers& workers_;
  Outcome& outcome_;
  const LiveLines lines_;
  std::vector<std::thread> threads_;
  RateWindow window_;
  Totals last_;
  uint64_t last_ns_ = 0;
  uint64_t asked_ns_ = 0;  // when the user asked for the end
};

void collect(const Run& run, const Workers& workers, Outcome& outcome) {
  uint64_t start = UINT64_MAX, end = 0;
  if (run.options.function == Function::ping) outcome.latency.emplace();
  if (run.options.function == Function::rxseq) outcome.sequence.emplace();
  for (const auto& w : workers) {
    outcome.totals += w->totals;
    outcome.by_thread.push_back(w->totals);
    if (w->start_ns) {
      start = std::min(start, w->start_ns);
      end = std::max(end, w->end_ns);
    }
    if (run.options.receives() && w->port) outcome.missed += w->port->missed();
    if (outcome.latency) outcome.latency->merge(w->latency);
    if (outcome.sequence) *outcome.sequence += w->sequence;
    outcome.pings_sent += w->pings_sent;
    outcome.pings_lost += w->pings_lost;
    outcome.unanswered += w->unanswered;
    if (outcome.failure.empty()) outcome.failure = w->failure;
  }
  outcome.seconds = end > start ? double(end - start) / 1e9 : 0;
}

void print_summary(const Options& o, const Outcome& outcome) {
  Units units{o.normalize, o.framing};
  switch (o.function) {
    case Function::tx:
    case Function::txseq:
      fputs(summary("Sent", outcome.totals, outcome.seconds, units).c_str(), stdout);
      break;
    case Function::rx:
    case Function::rxseq:
      fputs(summary("Received", outcome.totals, outcome.seconds, units).c_str(), stdout);
      if (outcome.sequence) fputs(sequence_text(*outcome.sequence).c_str(), stdout);
      if (outcome.missed)
        printf("Missed %llu packets, as the receive rings were full\n", (unsigned long long)outcome.missed);
      break;
    case Function::ping:
      fputs(latency_text(*outcome.latency, outcome.pings_sent, outcome.pings_lost).c_str(), stdout);
      break;
    case Function::pong:
      fputs(summary("Answered", outcome.totals, outcome.seconds, units).c_str(), stdout);
      if (outcome.unanswered) printf("Not answered for want of room: %llu\n", (unsigned long long)outcome.unanswered);
  }
}

}  // namespace

int cpu_of_thread(const Options& options, unsigned index, unsigned online) {
  if (!options.first_cpu || online == 0) return -1;
  unsigned spread = options.cpus.value_or(0);
  return int((*options.first_cpu + (spread ? index % spread : index)) % online);
}

uint64_t share_of(uint64_t count, unsigned index, unsigned threads) {
  if (count == 0) return Worker::kNoQuota;
  return count / threads + (index < count % threads);
}

int run(const Options& options) {
  // What is read by a script through a pipe is to come line by line, too.
  setvbuf(stdout, nullptr, _IOLBF, 1 << 16);
  for (const std::string& note : options.notes) say(note);
  Run run{.options = options, .live = options.json ? stderr : stdout};
  Workers workers;
  Outcome outcome;
  keep_ignored_interrupt();
  if (Result<void> prepared = prepare(run, workers); !prepared) {
    outcome.failure = prepared.error().text;
  } else {
    announce(run, workers);
    // Threads inherit this mask; they get SIGUSR2 only, whose handler exists to interrupt poll.
    sigset_t signals = main_signals();
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    struct sigaction wake {};
    wake.sa_handler = [](int) {};
    sigaction(kWakeUp, &wake, nullptr);
    if (wait_for_link(run, workers)) {
      Reporter reporter(run, workers, outcome);
      reporter.start();
      reporter.watch();
      reporter.join();
    }
    collect(run, workers, outcome);
    if (run.writer) {
      Result<void> written = run.writer->finish();
      if (!written && outcome.failure.empty()) outcome.failure = written.error().text;
    }
    if (!options.json) print_summary(options, outcome);
    if (outcome.failure.empty() && outcome.pings_sent > 0 && outcome.latency->count() == 0) {
      outcome.failure =
          fmt::format("{}: no ping was answered; run pkt-gen -f pong on another port of the switch", options.interface);
    }
  }
  if (options.json) puts(json_text(options, outcome).c_str());
  fflush(stdout);
  if (outcome.failure.empty()) return 0;
  say(outcome.failure);
  return 1;
}

}  // namespace unetmap::pktgen
