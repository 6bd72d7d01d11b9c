// SPDX-License-Identifier: BSD-2-Clause
// One thread drives both ports. Fill what the sender's ring takes, sync it (which forwards), sync the receiver, compare
// what it got with the oldest packets under way: the receiver is lossless and the switch keeps the order, so the two
// sequences must be equal.
#include "replay.hh"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <system_error>
#include <unetmap/port.hh>

#include "parts/capture_file.hh"
#include "daemon_link.hh"
#include "wire/channel.hh"

namespace unetmap::cli {
namespace {

using parts::Capture;
using parts::CaptureWriter;

constexpr uint32_t kMinFrame = 14, kMaxFragments = 64;
constexpr int kPatience_ms = 10000;  // without any progress

struct Under {  // way
  pcap_pkthdr header;
  std::string bytes;
};

class Replay {
 public:
  Replay(const ReplayOptions& options, Capture capture, Port sender, Port receiver)
      : options_(options), capture_(std::move(capture)), sender_(std::move(sender)), receiver_(std::move(receiver)) {}

  Result<ReplayOutcome> run();

 private:
  Result<bool> read_next();
  bool put(const Under& packet);
  void take(const Packet& packet);
  bool wait();

  const ReplayOptions& options_;
  Capture capture_;
  Port sender_, receiver_;
  std::optional<CaptureWriter> writer_;
  std::optional<Under> next_;  // read, not yet in the ring
  std::deque<Under> under_way_;
  bool write_failed_ = false;
  ReplayOutcome out_;
};

// The next record that a switch can carry into next_; false at the end of the capture.
Result<bool> Replay::read_next() {
  const size_t longest = size_t{kMaxFragments} * sender_.tx_ring(0).buffer_size();
  for (;;) {
    auto record = capture_.next();
    if (!record) return record.error();
    if (!*record) return false;
    const auto& [header, bytes] = **record;
    const size_t whole = parts::full_bytes(**record);
    if (bytes.size() < kMinFrame) {
      out_.too_short++;
    } else if (whole > longest) {
      out_.too_long++;
    } else {
      out_.truncated += bytes.size() < whole;
      next_ = Under{header, std::string(bytes.begin(), bytes.end())};
      next_->bytes.resize(whole);
      return true;
    }
  }
}

// NS_NO_LEARN: addresses of a capture come from both ends of a wire. Once learned, all would seem to live behind the
// sender, and answers would never leave it.
bool Replay::put(const Under& packet) {
  Ring ring = sender_.tx_ring(0);
  const size_t piece = ring.buffer_size(), slots = (packet.bytes.size() + piece - 1) / piece;
  if (ring.size() < slots) return false;
  for (size_t i = 0; i < slots; i++) {
    const size_t from = i * piece, count = std::min(piece, packet.bytes.size() - from);
    memcpy(ring.buffer(i).data(), packet.bytes.data() + from, count);
    ring[i].len = uint16_t(count);
    ring[i].flags = uint16_t(NS_NO_LEARN | (i + 1 < slots ? NS_MOREFRAG : 0));
  }
  ring.advance(slots);
  out_.sent_packets++;
  out_.sent_bytes += packet.bytes.size();
  out_.long_packets += slots > 1;
  return true;
}

void Replay::take(const Packet& packet) {
  std::string bytes(packet.size(), '\0');
  packet.copy_to(std::as_writable_bytes(std::span(bytes)));
  out_.received_packets++;
  out_.received_bytes += bytes.size();
  if (under_way_.empty()) {
    out_.mismatches++;
    if (out_.first_mismatch.empty()) out_.first_mismatch = "a packet came out that never went in";
    return;
  }
  const Under& sent = under_way_.front();
  if (sent.bytes != bytes) {
    out_.mismatches++;
    if (out_.first_mismatch.empty()) out_.first_mismatch = difference(out_.received_packets, sent.bytes, bytes);
  }
  if (writer_) {
    // What was filled up is written as it was read: the beginning alone.
    pcap_pkthdr header = sent.header;
    if (sent.bytes != bytes) header.caplen = header.len = uint32_t(bytes.size());
    write_failed_ =
        write_failed_ || !writer_->write(header, {reinterpret_cast<const uint8_t*>(bytes.data()), header.caplen});
  }
  under_way_.pop_front();
}

// Until the receiver got something or the sender has room again; false when that does not happen.
bool Replay::wait() {
  pollfd both[2] = {{receiver_.fd(), POLLIN, 0}, {sender_.fd(), short(next_ ? POLLOUT : 0), 0}};
  int ready = ::poll(both, 2, kPatience_ms);
  if (ready < 0 && errno != EINTR) throw std::system_error(errno, std::generic_category(), "poll");
  if ((both[0].revents | both[1].revents) & (POLLERR | POLLHUP))
    throw std::system_error(ENXIO, std::generic_category(), "the daemon ended during the replay; try again");
  return ready != 0;
}

Result<ReplayOutcome> Replay::run() {
  if (!options_.write.empty()) {
    auto writer = CaptureWriter::create(options_.write, capture_);
    if (!writer) return writer.error();
    writer_ = std::move(*writer);
  }
  out_.link_type = capture_.link_type_name();
  const auto begin = std::chrono::steady_clock::now();
  auto more = read_next();
  while (more && (*more || !under_way_.empty()) && !write_failed_) {
    size_t moved = 0;
    while (more && *more && put(*next_)) {
      under_way_.push_back(std::move(*next_));
      next_.reset();
      moved++;
      more = read_next();
    }
    sender_.sync_tx();
    receiver_.sync_rx();
    moved += receiver_.for_each_received([&](const Packet& packet) { take(packet); });
    if (moved == 0 && !wait()) break;
  }
  receiver_.sync_rx();
  receiver_.for_each_received([&](const Packet& packet) { take(packet); });
  out_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (!more) return more.error();
  if (writer_) {
    if (auto written = writer_->finish(); !written) return written.error();
  }
  return out_;
}

Result<void> make_lossless(const std::string& port) {
  const std::string path = wire::default_socket_path();
  auto link = DaemonLink::connect(path);
  if (!link) return link.error();
  if (!*link) return Error{ENXIO, fmt::format("unetmapd at {}: it ended; try again", path)};
  return (**link).set({{"port", port}, {"lossless", true}});
}

}  // namespace

std::string difference(uint64_t packet, const std::string& sent, const std::string& received) {
  if (sent.size() != received.size()) {
    return fmt::format("packet {}: {} bytes went in, {} came out", packet, sent.size(), received.size());
  }
  auto at = std::mismatch(sent.begin(), sent.end(), received.begin());
  if (at.first == sent.end()) return {};
  return fmt::format("packet {}: byte {} went in as 0x{:02x} and came out as 0x{:02x}", packet, at.first - sent.begin(),
                     uint8_t(*at.first), uint8_t(*at.second));
}

Result<ReplayOutcome> replay(const ReplayOptions& options) {
  auto capture = Capture::open(options.capture);
  if (!capture) return capture.error();
  PortError why;
  std::optional<Port> ports[2];
  const std::string names[2] = {options.switch_name + ":in", options.switch_name + ":out"};
  for (int i = 0; i < 2; i++) {
    ports[i] = Port::try_open(names[i] + "/x", &why);
    if (!ports[i]) return Error{why.code, why.text};
  }
  if (auto set = make_lossless(names[1]); !set) return set.error();
  try {
    return Replay(options, std::move(*capture), std::move(*ports[0]), std::move(*ports[1])).run();
  } catch (const std::system_error& error) {
    return Error{error.code().value(), error.what()};
  }
}

}  // namespace unetmap::cli
