// SPDX-License-Identifier: BSD-2-Clause
// Kind "tap": a network interface of the kernel behind the port. Descriptor 0 is a tap with virtio-net headers of 12
// bytes: that of a persistent port (unetmap-keeper's "tap"), or one side of an attached interface ("attach").
//
// The port has the same headers, so frames cross as the kernel has them: segments of 64 KB whole, checksums still to be
// filled in. A frame is read straight into slots of the tx ring and written straight from slots of the rx ring, one
// system call a frame; the kernel's own queue for the tap is the buffer when the switch is faster or slower.
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <time.h>

#include <vector>

#include "worker/kinds.hh"
#include "worker/switch_port.hh"

namespace unetmap::worker {
namespace {

constexpr uint32_t kTapHeaderBytes = 12, kNumBuffersAt = 10;
constexpr uint32_t kShortestWithHeader = kTapHeaderBytes + 14;
constexpr uint32_t kFramesATurn = 64;
// Shorter than the daemon's, after which it asks no more (Registry::kShortcutRest_s).
constexpr time_t kLongSilence_s = 2;

class Tap final : public Kind {
 public:
  Tap(SwitchPort port, UniqueFd tap, Start& start)
      : port_(std::move(port)), tap_(std::move(tap)), loop_(start.loop), reporter_(start.reporter) {
    loop_.add_port(port_.fd(), *this);
    Ring ring = port_.tx();
    slots_a_frame_ = (kTapHeaderBytes + SwitchPort::kMaxFrame + ring.buffer_size() - 1) / ring.buffer_size();
    parts_.resize(std::max(slots_a_frame_, SwitchPort::kMaxFrags));
  }
  ~Tap() override { loop_.unwatch(tap_.get()); }

  Result<void> begin(const Json& parameters) {
    if (auto set_up = set(parameters); !set_up) return set_up;
    if (slots_a_frame_ + 1 > port_.tx().capacity() || slots_a_frame_ > SwitchPort::kMaxFrags)
      return Error{EINVAL, "plug: the port's rings are too short for a frame of 64 KB; give it more slots"};
    reporter_.state(true, "attached");
    return loop_.watch(tap_.get(), EPOLLIN, [this](uint32_t events) { ready(events); });
  }

  bool turn() override {
    bool moved = from_tap();
    return to_tap() || moved;
  }
  bool before_sleep() override {
    if (tx_full_) port_.ask_for_more_room();
    return true;
  }
  short port_events() override { return short(POLLIN | (tx_full_ ? POLLOUT : 0)); }
  // {"polling": bool, "cpu": N}: looks for packets all the time, on that processor.
  Result<void> set(const Json& parameters) override {
    if (auto polling = parameters.find("polling"); polling != parameters.end() && polling->is_boolean())
      loop_.set_spin_us(polling->get<bool>() ? UINT32_MAX : 0);
    auto cpu = number_parameter(parameters, "cpu", CPU_SETSIZE, CPU_SETSIZE - 1);
    if (!cpu || *cpu == CPU_SETSIZE) return {};
    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET(int(*cpu), &only);
    if (sched_setaffinity(0, sizeof only, &only) < 0)
      reporter_.say("cannot poll on processor " + std::to_string(*cpu) + ": " + strerror(errno));
    return {};
  }
  Json status() const override {
    return {{"rx_packets", rx_packets_},        {"rx_bytes", rx_bytes_},
            {"tx_packets", tx_packets_},        {"tx_bytes", tx_bytes_},
            {"lost_down", lost_down_},          {"lost_refused", lost_refused_},
            {"lost_malformed", lost_malformed_}};
  }

 private:
  void ready(uint32_t events) {
    if (events & (EPOLLHUP | EPOLLERR)) {
      // The interface is gone, and its keeper says so to the daemon.
      loop_.unwatch(tap_.get());
      gone_ = true;
      return reporter_.state(false, "the interface is gone");
    }
    readable_ = true;
    if (tx_full_) loop_.change(tap_.get(), 0);
  }

  bool from_tap() {
    if (port_.tx_pending()) (void)port_.sync_tx();
    if (!readable_ || gone_) return false;
    Ring ring = port_.tx();
    uint32_t used = 0, space = uint32_t(ring.size()), frames = 0;
    for (; frames < kFramesATurn && space - used >= slots_a_frame_; frames++) {
      for (uint32_t i = 0; i < slots_a_frame_; i++) {
        auto buffer = ring.buffer(used + i);
        parts_[i] = {buffer.data(), buffer.size()};
      }
      ssize_t n = readv(tap_.get(), parts_.data(), int(slots_a_frame_));
      if (n <= 0) {
        readable_ = n < 0 && errno == EINTR;
        break;
      }
      if (size_t(n) < kShortestWithHeader) {
        lost_malformed_++;
        continue;
      }
      // The kernel leaves this word of the header as it was.
      memset(static_cast<uint8_t*>(parts_[0].iov_base) + kNumBuffersAt, 0, 2);
      used += mark_slots(ring, used, size_t(n));
      tx_packets_++;
      tx_bytes_ += size_t(n) - kTapHeaderBytes;
    }
    ring.advance(used);
    if (used > 0) {
      (void)port_.sync_tx();
      note_time();
    }
    block(readable_ && uint32_t(ring.size()) < slots_a_frame_);
    return used > 0 && !tx_full_;
  }

  void note_time() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    if (now.tv_sec - last_frame_s_ >= kLongSilence_s) reporter_.awake();
    last_frame_s_ = now.tv_sec;
  }

  // Lossless destinations hold the ring: the tap waits, and the kernel's queue before it.
  void block(bool full) {
    if (tx_full_ == full) return;
    tx_full_ = full;
    if (!full) loop_.change(tap_.get(), EPOLLIN);
  }

  uint32_t mark_slots(const Ring& ring, uint32_t at, size_t bytes) {
    uint32_t count = 0;
    while (bytes > 0) {
      netmap_slot& slot = ring[at + count];
      slot.len = uint16_t(std::min(bytes, parts_[count].iov_len));
      bytes -= slot.len;
      slot.flags = bytes > 0 ? NS_MOREFRAG : 0;
      count++;
    }
    return count;
  }

  bool to_tap() {
    if (!port_.sync_rx()) return false;
    bool moved = false;
    for (uint32_t i = 0; i < port_.rings(); i++) moved = to_tap(port_.rx(i)) || moved;
    if (moved) (void)port_.sync_rx();
    return moved;
  }

  bool to_tap(Ring ring) {
    uint32_t available = uint32_t(ring.size()), at = 0, frames = 0;
    for (; at < available && frames < kFramesATurn; frames++) {
      PacketView packet = packet_at(ring, at, available);
      uint32_t count = std::min(packet.slots, uint32_t(parts_.size()));
      for (uint32_t i = 0; i < count; i++) {
        auto data = ring.data(at + i);
        parts_[i] = {const_cast<std::byte*>(data.data()), data.size()};
      }
      at += packet.slots;
      if (packet.bytes < kShortestWithHeader) {
        lost_malformed_++;
        continue;
      }
      ssize_t n = writev(tap_.get(), parts_.data(), int(count));
      if (n >= 0) {
        rx_packets_++;
        rx_bytes_ += packet.bytes - kTapHeaderBytes;
      } else {
        (errno == EIO || errno == ENETDOWN || errno == EBADFD ? lost_down_ : lost_refused_)++;
      }
    }
    ring.advance(at);
    return at > 0;
  }

  SwitchPort port_;
  UniqueFd tap_;
  Loop& loop_;
  Reporter& reporter_;
  uint32_t slots_a_frame_;  // of the longest frame
  std::vector<iovec> parts_;
  bool readable_ = true, tx_full_ = false, gone_ = false;
  time_t last_frame_s_ = -kLongSilence_s;
  uint64_t rx_packets_ = 0, rx_bytes_ = 0, tx_packets_ = 0, tx_bytes_ = 0;
  uint64_t lost_down_ = 0;     // the interface is down
  uint64_t lost_refused_ = 0;  // the kernel takes no such frame or header
  uint64_t lost_malformed_ = 0;
};

}  // namespace

Result<std::unique_ptr<Kind>> start_tap(Start start) {
  if (start.fds.size() != 1)
    return Error{EINVAL, start.port + ": plug: kind tap takes one descriptor, and comes with attached interfaces only"};
  UniqueFd tap = std::move(start.fds[0]);
  auto port = SwitchPort::open(start.port, kTapHeaderBytes);
  if (!port) return port.error();
  auto kind = std::make_unique<Tap>(std::move(*port), std::move(tap), start);
  if (auto begun = kind->begin(start.parameters); !begun) return begun.error();
  return std::unique_ptr<Kind>(std::move(kind));
}

}  // namespace unetmap::worker
