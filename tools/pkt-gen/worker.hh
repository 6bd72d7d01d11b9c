// SPDX-License-Identifier: BSD-2-Clause
// One thread's share of a run: what it is to do, and what it reports back.
#pragma once

#include <poll.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

#include "capture_file.hh"
#include "counters.hh"
#include "frame_io.hh"
#include "histogram.hh"
#include "options.hh"
#include "port.hh"
#include "report.hh"

namespace unetmap::pktgen {

// What the threads of a run share. Outlives them; constant but for the two flags.
struct Run {
  const Options& options;
  FILE* live;  // reports
  std::atomic<bool> cancel{false};
  std::atomic<bool> packets_came{false};  // to any receiving thread
  FrameSpec frame;
  std::unique_ptr<FrameIo> io;            // or each worker has a port
  std::unique_ptr<Capture> capture;       // -P
  std::unique_ptr<CaptureWriter> writer;  // --write; used by the only worker
};

struct Worker {
  static constexpr uint64_t kNoQuota = UINT64_MAX;

  Run& run;
  unsigned index;
  std::unique_ptr<Port> port;  // empty with FrameIo
  uint64_t quota = kNoQuota;   // packets, or pings

  Counters counters;                  // while it runs
  std::atomic<bool> finished{false};  // released after the last write to what follows

  Totals totals;
  uint64_t start_ns = 0;  // 0: never got to it
  uint64_t end_ns = 0;
  std::string failure;  // empty: none
  Histogram latency;
  uint64_t pings_sent = 0;
  uint64_t pings_lost = 0;
  uint64_t unanswered = 0;
  SequenceCounts sequence;

  bool cancelled() const { return run.cancel.load(std::memory_order_relaxed); }
  int fd() const { return port ? port->fd() : run.io->fd(); }

  enum class Wait { ready, idle, failed };  // idle: timeout or signal; failed: `failure` says why
  Wait wait_for(short events, int timeout_ms) {
    pollfd entry{fd(), events, 0};
    int got = poll(&entry, 1, timeout_ms);
    if (got > 0 && !(entry.revents & (POLLERR | POLLHUP | POLLNVAL))) return Wait::ready;
    return not_ready(got, entry.revents);
  }
  // Sleeps until the first packet is there, or with -W until another thread has its first. False when cancelled or
  // failed.
  bool wait_for_first_packet();
  // For loops that sync by ioctl: false, with `failure` set, when the port is gone.
  bool sync(unsigned long request);

 private:
  Wait not_ready(int got, short events);
};

// The functions of -f. Each runs in a thread of its own.
void run_tx(Worker& worker);
void run_rx(Worker& worker);
void run_txseq(Worker& worker);
void run_rxseq(Worker& worker);
void run_ping(Worker& worker);
void run_pong(Worker& worker);

// Shared by the senders: waits until everything handed to the tx rings has left or, once cancelled, until nothing leaves
// any more.
void drain_tx(Worker& worker);

}  // namespace unetmap::pktgen
