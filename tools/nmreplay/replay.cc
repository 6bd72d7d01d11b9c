// SPDX-License-Identifier: BSD-2-Clause
#include "replay.hh"

#include <fmt/core.h>
#include <poll.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <system_error>
#include <unetmap/port.hh>
#include <vector>

#include "base/output.hh"
#include "parts/alarm.hh"
#include "parts/capture_file.hh"
#include "parts/lateness.hh"
#include "parts/quantities.hh"
#include "parts/stop.hh"
#include "parts/system.hh"

namespace unetmap::nmreplay {
namespace {

constexpr size_t kShortest = 14, kMaxSlots = 64;
constexpr uint64_t kSpinNs = 20'000;           // closer than this, nobody sleeps
constexpr uint64_t kMostEarlyNs = 500'000;     // than when a packet leaves, we are woken
constexpr uint32_t kInTimePermille = 995;      // of those that we slept before
constexpr uint64_t kDrainNs = 10'000'000'000;  // how long the last packets may take to leave

class Replay {
 public:
  Replay(const Options& options, Port port)
      : options_(options), port_(std::move(port)), link_(options.model, options.seed) {}
  Result<Outcome> run();

 private:
  // A packet in the next slots of a ring, which go when it is time.
  struct Ready {
    uint64_t at_ns;
    size_t bytes;
    bool truncated;
    size_t ring = 0, slots = 0;
  };

  Result<void> pass();
  void take(const parts::Capture::Record& record);
  void send_ready(uint64_t next_ns);
  uint64_t due(const pcap_pkthdr& header, size_t bytes, bool& lost);
  bool wait_until(uint64_t at_ns);
  bool put(std::span<const uint8_t> stored, Ready& packet);
  void sync();
  bool make_room();
  void drain();
  void report();

  const Options& options_;
  Port port_;
  parts::Link link_;
  parts::Alarm alarm_;
  parts::Lateness lateness_{kInTimePermille, kMostEarlyNs};
  Outcome out_;
  std::optional<Ready> ready_;
  uint64_t start_ns_ = 0, last_ns_ = 0, report_ns_ = 0, reported_ = 0;
  std::optional<uint64_t> first_stamp_;   // of this pass
  uint64_t pass_ns_ = 0, latest_ns_ = 0;  // when this pass began, and what it came to, since start_ns_
  uint32_t unsynced_ = 0;
};

// When the packet leaves, since the start.
uint64_t Replay::due(const pcap_pkthdr& header, size_t bytes, bool& lost) {
  uint64_t comes_ns = pass_ns_;
  if (options_.model.bandwidth.real) {
    const uint64_t stamp = parts::stamp_ns(header);
    if (!first_stamp_) first_stamp_ = stamp;
    // Captures are not always in order; no packet comes before the one that stands before it.
    const uint64_t since = stamp > *first_stamp_ ? stamp - *first_stamp_ : 0;
    comes_ns += uint64_t(double(since) / options_.model.bandwidth.speedup);
    comes_ns = std::max(comes_ns, latest_ns_);
    latest_ns_ = comes_ns;
  }
  const parts::Link::Outcome outcome = link_.pass(comes_ns, bytes);
  lost = outcome.fate != parts::Fate::kPasses;
  return outcome.leaves_ns;
}

void Replay::sync() {
  port_.sync_tx();
  unsynced_ = 0;
}

// False when told to stop. What is in the ring leaves before we sleep; who is woken early, as it may take long, looks
// at the clock until it is time.
bool Replay::wait_until(uint64_t at_ns) {
  for (uint64_t now = parts::now_ns(); now < at_ns && !parts::stop_wanted; now = parts::now_ns()) {
    if (unsynced_) {
      sync();
      continue;
    }
    report();
    const uint64_t early = kSpinNs / 2 + lateness_.expected_ns();
    if (at_ns - now < early + kSpinNs / 2) continue;
    uint64_t until = at_ns - early;
    if (options_.verbose) until = std::min(until, report_ns_ + 1'000'000'000);
    alarm_.set(until);
    pollfd entries[2] = {{alarm_.fd(), POLLIN, 0}, {parts::stop_event(), POLLIN, 0}};
    if (::poll(entries, 2, -1) > 0 && entries[0].revents) lateness_.note(parts::now_ns() - until);
  }
  return !parts::stop_wanted;
}

// Into the next slots of a ring, which are not handed over yet: what the capture has of it, and zeros for the rest.
// False where no ring has room.
bool Replay::put(std::span<const uint8_t> stored, Ready& packet) {
  for (packet.ring = 0; packet.ring < port_.tx_rings(); packet.ring++) {
    Ring ring = port_.tx_ring(packet.ring);
    std::span<const uint8_t> left = stored;
    size_t done = 0, slots = 0;
    for (const size_t room = ring.size(); slots < room && done < packet.bytes; slots++) {
      const std::span<std::byte> buffer = ring.buffer(slots);
      const size_t count = std::min(buffer.size(), packet.bytes - done), have = std::min(count, left.size());
      memcpy(buffer.data(), left.data(), have);
      memset(buffer.data() + have, 0, count - have);
      left = left.subspan(have);
      done += count;
      ring[slots].len = uint16_t(count);
      ring[slots].flags = uint16_t(done < packet.bytes ? NS_MOREFRAG : 0);
    }
    packet.slots = slots;
    if (done == packet.bytes) return true;
  }
  return false;
}

// Until a ring has room again; false when told to stop.
bool Replay::make_room() {
  sync();
  pollfd entries[2] = {{port_.fd(), POLLOUT, 0}, {parts::stop_event(), POLLIN, 0}};
  ::poll(entries, 2, 1000);
  if (entries[0].revents & (POLLERR | POLLHUP | POLLNVAL)) {
    throw std::system_error(ENXIO, std::generic_category(), options_.port);
  }
  report();
  return !parts::stop_wanted;
}

// The packet that lies in the ring leaves when it is time; at once, where what comes after it is not due yet.
void Replay::send_ready(uint64_t next_ns) {
  if (!ready_) return;
  const Ready packet = *std::exchange(ready_, std::nullopt);
  if (!wait_until(packet.at_ns)) return;
  port_.tx_ring(packet.ring).advance(packet.slots);
  last_ns_ = parts::now_ns();
  if (++unsynced_ >= options_.batch || next_ns > last_ns_) sync();
  out_.sent++;
  out_.bytes += packet.bytes;
  out_.truncated += packet.truncated;
}

// Lays a packet ready, once the one before it has left: what it takes to read and to copy is not done when it is due.
void Replay::take(const parts::Capture::Record& record) {
  const size_t bytes = parts::full_bytes(record);
  if (bytes < kShortest || bytes > kMaxSlots * port_.tx_ring(0).buffer_size()) {
    out_.unsendable++;
    return;
  }
  bool lost = false;
  const uint64_t leaves = due(record.header, bytes, lost);
  if (lost) {
    out_.lost++;
    return;
  }
  send_ready(start_ns_ + leaves);
  Ready packet{.at_ns = start_ns_ + leaves, .bytes = bytes, .truncated = record.bytes.size() < bytes};
  while (!put(record.bytes, packet)) {
    if (!make_room()) return;
  }
  ready_ = packet;
}

// The whole capture once.
Result<void> Replay::pass() {
  auto capture = parts::Capture::open(options_.file);
  if (!capture) return capture.error();
  if (capture->link_type() != DLT_EN10MB) {
    return Error{EINVAL, fmt::format("{}: has packets of {}; only Ethernet can be sent", options_.file,
                                     capture->link_type_name())};
  }
  first_stamp_.reset();
  latest_ns_ = pass_ns_ = start_ns_ ? parts::now_ns() - start_ns_ : 0;
  if (!start_ns_) start_ns_ = report_ns_ = parts::now_ns();
  while (!parts::stop_wanted) {
    auto record = capture->next();
    if (!record) return record.error();
    if (!*record) break;
    take(**record);
  }
  send_ready(UINT64_MAX);
  return {};
}

// Packets in a ring go with the port: wait until they have left.
void Replay::drain() {
  const uint64_t until = parts::now_ns() + kDrainNs;
  auto waiting = [&] {
    for (size_t i = 0; i < port_.tx_rings(); i++) {
      if (nm_tx_pending(port_.tx_ring(i).get())) return true;
    }
    return false;
  };
  port_.sync_tx();
  while (waiting() && parts::now_ns() < until && !parts::stop_wanted) {
    pollfd stop{parts::stop_event(), POLLIN, 0};
    ::poll(&stop, 1, 1);
    port_.sync_tx();
  }
}

void Replay::report() {
  if (!options_.verbose) return;
  const uint64_t now = parts::now_ns();
  if (now - report_ns_ < 1'000'000'000) return;
  print_err("{}pps, {} sent, {} lost\n", parts::scaled(double(out_.sent - reported_) * 1e9 / double(now - report_ns_)),
            out_.sent, out_.lost);
  report_ns_ = now;
  reported_ = out_.sent;
}

Result<Outcome> Replay::run() {
  for (uint32_t i = 0; (options_.loops == 0 || i < options_.loops) && !parts::stop_wanted; i++) {
    if (auto done = pass(); !done) return done.error();
    if (out_.sent == 0 && out_.lost == 0) break;  // nothing to send: do not turn for ever
  }
  drain();
  if (out_.sent) out_.seconds = double(last_ns_ - start_ns_) / 1e9;
  return out_;
}

}  // namespace

Result<Outcome> replay(const Options& options) {
  // Before the port is there: mistakes in the file's name should not bring a switch into being.
  if (auto capture = parts::Capture::open(options.file); !capture) return capture.error();
  PortError why;
  std::optional<Port> port = Port::try_open(options.port, &why);
  if (!port) return Error{why.code, why.text};
  if (port->tx_rings() == 0)
    return Error{EINVAL, options.port + ": has no rings to send with; leave /R and monitors out"};
  if (options.on_processor) {
    if (int code = parts::run_on(&options.processor, 1))
      return Error::from_errno(code, fmt::format("processor {}", options.processor));
  }
  if (options.wait_link_s && options.port.starts_with("netmap:") &&
      options.port.find_first_of("{}") == std::string::npos) {
    print_err("nmreplay: waiting {} s for the link\n", options.wait_link_s);
    pollfd stop{parts::stop_event(), POLLIN, 0};
    ::poll(&stop, 1, int(options.wait_link_s * 1000));
  }
  try {
    return Replay(options, std::move(*port)).run();
  } catch (const std::system_error& error) {
    if (error.code().value() == ENXIO)
      return Error{ENXIO,
                   options.port + ": the port is gone: its daemon ended or the port was removed; start nmreplay again"};
    return Error{error.code().value(), error.what()};
  }
}

}  // namespace unetmap::nmreplay
