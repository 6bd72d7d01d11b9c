// SPDX-License-Identifier: BSD-2-Clause
// A copying monitor sees what the port sends and receives, and never slows it. What finds the monitor's ring full is
// lost to the capture: it is looked at twice a second, and the next packet carries the mark. What was lost for other
// reasons the daemon knows, who is asked at the end: packets do not wait for an answer.
#include "watch_port.hh"

#include <fmt/core.h>
#include <net/netmap_user.h>
#include <poll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <unetmap/port.hh>

#include "asked_port.hh"
#include "clock.hh"
#include "daemon_link.hh"
#include "parts/packet_filter.hh"
#include "parts/stop.hh"
#include "wire/channel.hh"

namespace unetmap::cli {
namespace {

constexpr uint64_t kProgressNs = 500'000'000;
constexpr size_t kLongestPacket = 65536;
constexpr uint32_t kMonitorSlots = 8192;  // what comes while we are woken, or write

// Makes the pages of a ring's buffers: each would stop us, and whoever sends, when its first packet comes, and a burst
// in its first milliseconds would not find room.
void make_pages(const netmap_ring& ring) {
  uint32_t first = UINT32_MAX, last = 0;
  for (uint32_t i = 0; i < ring.num_slots; i++) {
    first = std::min(first, ring.slot[i].buf_idx);
    last = std::max(last, ring.slot[i].buf_idx);
  }
  const auto page = size_t(sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(NETMAP_BUF(&ring, first)) / page * page;
  const auto end = reinterpret_cast<uintptr_t>(NETMAP_BUF(&ring, last)) + ring.nr_buf_size;
  (void)madvise(reinterpret_cast<void*>(begin), end - begin, MADV_POPULATE_WRITE);
  // An older kernel makes them now, and a host that shadows our page tables looks at them.
  for (uintptr_t at = begin; at < end; at += page) (void)*reinterpret_cast<const volatile uint8_t*>(at);
}

// What the daemon has on our monitor of a port.
class Counters {
 public:
  // `name` is the watched port's.
  static Counters of(const std::string& name);
  // Lost by our monitor so far.
  uint64_t lost();

 private:
  std::optional<DaemonLink> link_;
  std::string monitor_;
};

Counters Counters::of(const std::string& name) {
  Counters out;
  auto link = DaemonLink::connect(wire::default_socket_path());
  if (!link || !*link) return out;
  auto ports = (**link).query({{"what", "ports"}});
  if (!ports) return out;
  for (const auto& port : (*ports)["ports"]) {
    if (port.value("parent", "") != name || port.value("kind", "") != "monitor") continue;
    const auto pids = port.value("pids", Json::array());
    if (std::find(pids.begin(), pids.end(), getpid()) != pids.end()) out.monitor_ = port.value("name", "");
  }
  out.link_ = std::move(**link);
  return out;
}

uint64_t Counters::lost() {
  if (!link_ || monitor_.empty()) return 0;
  auto stats = link_->query({{"what", "stats"}, {"port", monitor_}});
  if (!stats || (*stats)["ports"].empty()) return 0;
  const auto& rx = (*stats)["ports"][0]["rx"];
  return rx.value("lost_full", uint64_t{0}) + rx.value("lost_oversize", uint64_t{0}) +
         rx.value("lost_corrupt", uint64_t{0});
}

class Watch {
 public:
  Watch(const WatchOptions& options, Port port, Counters counters, parts::PacketFilter filter,
        const OpenFile& open_file)
      : options_(options),
        port_(std::move(port)),
        counters_(std::move(counters)),
        filter_(std::move(filter)),
        writer_(options.file, options.rotation, open_file, out_) {}

  Result<Watched> run(const std::function<void(const Watched&)>& progress);

 private:
  Result<void> take_ring(Ring ring, uint64_t now);
  Result<void> take(std::span<const uint8_t> bytes, size_t size, bool sent, uint64_t now);
  Result<bool> wait(bool sleeps);
  bool full() const { return options_.count && out_.captured >= options_.count; }

  const WatchOptions& options_;
  Port port_;
  Counters counters_;
  parts::PacketFilter filter_;
  Watched out_;
  CaptureOutput writer_;
  uint64_t marked_lost_ = 0;  // of out_.lost, in the file
  uint64_t start_ns_ = clock_ns(CLOCK_MONOTONIC), next_progress_ns_ = start_ns_ + kProgressNs;
  std::array<uint8_t, kLongestPacket> joined_;
};

Result<void> Watch::take(std::span<const uint8_t> bytes, size_t size, bool sent, uint64_t now) {
  if (full()) return {};
  if (!filter_.passes(bytes, size)) {
    out_.received++;
    return {};
  }
  if (options_.snapshot_bytes) bytes = bytes.first(std::min<size_t>(bytes.size(), options_.snapshot_bytes));
  const uint64_t lost = out_.lost - marked_lost_;
  marked_lost_ = out_.lost;
  auto written = writer_.write({now, bytes, size, sent ? parts::Direction::kOut : parts::Direction::kIn, lost, 0, {}});
  out_.received++;
  out_.captured++;
  return written;
}

// Packets of several slots are joined; a chain that does not end yet stays for the next look.
Result<void> Watch::take_ring(Ring ring, uint64_t now) {
  while (!ring.empty() && !full()) {
    const size_t available = ring.size();
    const bool sent = ring[0].flags & NS_TXMON;
    size_t slots = 1, size = ring.data(0).size();
    while ((ring[slots - 1].flags & NS_MOREFRAG) && slots < available) size += ring.data(slots++).size();
    // Cut off by the end of what was delivered: the rest is coming, unless the ring can take no more.
    if ((ring[slots - 1].flags & NS_MOREFRAG) && available + 1 < ring.capacity()) {
      ring.get()->cur = ring.get()->tail;
      return {};
    }
    const Packet packet(ring, slots, size);
    std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(packet.data().data()), packet.data().size());
    if (slots > 1) {
      bytes = {joined_.data(), packet.copy_to(std::as_writable_bytes(std::span(joined_)))};
    }
    auto taken = take(bytes, size, sent, now);
    ring.advance(slots);
    if (!taken) return taken;
  }
  return {};
}

// Until there may be packets, or it is time for something else; just a look if it does not sleep. False: the end.
Result<bool> Watch::wait(bool sleeps) {
  const uint64_t now = clock_ns(CLOCK_MONOTONIC);
  uint64_t until = next_progress_ns_;
  if (options_.duration_ns) until = std::min(until, start_ns_ + options_.duration_ns);
  const int timeout_ms = now < until ? int((until - now + 999'999) / 1'000'000) : 0;
  pollfd entries[2] = {{port_.fd(), POLLIN, 0}, {parts::stop_event(), POLLIN, 0}};
  if (::poll(entries, 2, sleeps ? timeout_ms : 0) < 0 && errno != EINTR)
    return Error::from_errno(errno, options_.port + ": wait");
  if (entries[0].revents & (POLLERR | POLLHUP | POLLNVAL)) {
    return Error{ENXIO,
                 fmt::format("{}: the port is gone, or the daemon has ended; start the capture again", options_.port)};
  }
  return !parts::stop_wanted;
}

Result<Watched> Watch::run(const std::function<void(const Watched&)>& progress) {
  Result<void> result = writer_.begin(
      {options_.port, "netmap port of unetmap", options_.filter, "unetmap " UNETMAP_VERSION, options_.snapshot_bytes},
      clock_ns(CLOCK_REALTIME));
  if (result) result = writer_.flush();  // readers see the beginning at once
  std::optional<Error> gone;
  while (result && !full()) {
    // Readers of the file see what there is before we sleep, and not earlier: while packets come, it is written in
    // large pieces.
    const bool pending = writer_.anything_pending();
    auto more = wait(!pending);
    if (!more) gone = more.error();
    const uint64_t now = clock_ns(CLOCK_REALTIME), before = out_.received;
    for (size_t i = 0; i < port_.rx_rings() && result; i++) result = take_ring(port_.rx_ring(i), now);
    if (result && pending && out_.received == before) result = writer_.flush();
    if (!result || gone || !*more) break;
    const uint64_t at = clock_ns(CLOCK_MONOTONIC);
    if (at >= next_progress_ns_) {
      next_progress_ns_ = at + kProgressNs;
      out_.lost = std::max(out_.lost, port_.missed());
      progress(out_);
    }
    if (options_.duration_ns && at - start_ns_ >= options_.duration_ns) break;
  }
  out_.lost = std::max(out_.lost, counters_.lost());
  if (result) result = writer_.finish(clock_ns(CLOCK_REALTIME));
  out_.files = writer_.files();
  // Who read the file has had enough: an end like others.
  if (!result && result.error().code != EPIPE) return result.error();
  if (gone) return *gone;
  return out_;
}

}  // namespace

Result<std::string> monitor_of(const std::string& port) {
  std::string name = port;
  if (name.empty() || name.find_first_of("/ ") != std::string::npos) {
    return Error{
        EINVAL,
        fmt::format("'{}' is no name of a port; give one without suffixes, as 'unetmap ports' lists them", port)};
  }
  if (const size_t at = name.find('@'); at != std::string::npos) {
    return Error{EINVAL, fmt::format("{}: is in another network namespace; run this program there, such as: ip netns "
                                     "exec {} unetmap capture {}",
                                     port, name.substr(at + 1), name.substr(0, at))};
  }
  if (!name.starts_with("vale") && !name.starts_with("netmap:")) name = "netmap:" + name;
  // All rings of the port of that name, not the ring pair that a number behind its last dash could mean.
  return name + (name.find('-') != std::string::npos ? "-*/rt" : "/rt");
}

Result<Watched> watch_port(const WatchOptions& options, const OpenFile& open_file,
                           const std::function<void(const Watched&)>& progress) {
  auto filter = parts::PacketFilter::compile(options.filter);
  if (!filter) return filter.error();
  auto spec = monitor_of(options.port);
  if (!spec) return spec.error();
  PortError why;
  // One ring, however many the port has: so packets are in the order in which they passed, a request before its answer.
  std::optional<Port> port = Port::try_open(*spec, &why, [](nmreq_register& wanted) {
    wanted.nr_rx_rings = 1;
    wanted.nr_rx_slots = kMonitorSlots;
  });
  if (!port) return Error{why.code, fmt::format("{}: cannot be watched: {}", options.port, why.text)};
  make_pages(*port->rx_ring(0).get());
  Counters counters = Counters::of(asked_port(options.port));
  return Watch(options, std::move(*port), std::move(counters), std::move(*filter), open_file).run(progress);
}

}  // namespace unetmap::cli
