// SPDX-License-Identifier: BSD-2-Clause
// What a broadcast costs: one process with one sending port and COUNT receiving ones on a switch. It sends a batch of
// broadcast frames, then empties every receiver, so that nothing is lost and no scheduler takes part.
//   bench-fanout SWITCH COUNT FRAME_LENGTH SECONDS
// Prints one line of key=value pairs; send_ns is the time in NIOCTXSYNC alone, loop_ns everything, both per delivered
// packet.
#include <libnetmap.h>
#include <net/netmap.h>
#include <net/netmap_user.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {
using Clock = std::chrono::steady_clock;
constexpr uint32_t kBatch = 128;
constexpr double kWarmUpSeconds = 0.2;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

nmport_d* open_port(const std::string& name) {
  nmport_d* port = nmport_open(name.c_str());
  if (port != nullptr) return port;
  std::fprintf(stderr, "bench-fanout: open %s: %s\n", name.c_str(), std::strerror(errno));
  std::exit(1);
}

void sync(const nmport_d& port, unsigned long request) {
  if (ioctl(port.fd, request, nullptr) == 0) return;
  std::fprintf(stderr, "bench-fanout: synchronise: %s\n", std::strerror(errno));
  std::exit(1);
}

class Fanout {
 public:
  Fanout(const std::string& name, int count, uint16_t length) : length_(length) {
    sender_ = open_port(name + ":from");
    for (int i = 0; i < count; i++) receivers_.push_back(open_port(name + ":to" + std::to_string(i)));
    netmap_ring* ring = NETMAP_TXRING(sender_->nifp, 0);
    for (uint32_t i = 0; i < ring->num_slots; i++) {
      auto* frame = reinterpret_cast<uint8_t*>(NETMAP_BUF(ring, ring->slot[i].buf_idx));
      std::memset(frame, 0x5a, length);
      std::memset(frame, 0xff, 6);
      const uint8_t source[8] = {2, 0, 0, 0, 0, 1, 0x88, 0xb5};
      std::memcpy(frame + 6, source, sizeof source);
    }
  }

  void run(double seconds) {
    sent_ = delivered_ = 0;
    send_seconds_ = 0;
    const auto start = Clock::now();
    do {
      send_batch();
      for (nmport_d* receiver : receivers_) drain(*receiver);
    } while ((seconds_ = seconds_since(start)) < seconds);
  }

  void print() const {
    const auto delivered = static_cast<double>(std::max<uint64_t>(delivered_, 1));
    const auto expected = static_cast<double>(sent_ * receivers_.size());
    std::printf("ports=%zu sent=%llu delivered=%llu lost_percent=%.3f send_ns=%.2f loop_ns=%.2f\n", receivers_.size(),
                static_cast<unsigned long long>(sent_), static_cast<unsigned long long>(delivered_),
                expected > 0 ? 100.0 * (1.0 - static_cast<double>(delivered_) / expected) : 0.0,
                send_seconds_ * 1e9 / delivered, seconds_ * 1e9 / delivered);
  }

 private:
  void send_batch() {
    netmap_ring* ring = NETMAP_TXRING(sender_->nifp, 0);
    const uint32_t n = std::min(nm_ring_space(ring), kBatch);
    uint32_t head = ring->head;
    for (uint32_t i = 0; i < n; i++, head = nm_ring_next(ring, head)) {
      ring->slot[head].len = length_;
      ring->slot[head].flags = 0;
    }
    ring->head = ring->cur = head;
    const auto start = Clock::now();
    sync(*sender_, NIOCTXSYNC);
    send_seconds_ += seconds_since(start);
    sent_ += n;
  }

  void drain(const nmport_d& receiver) {
    sync(receiver, NIOCRXSYNC);
    netmap_ring* ring = NETMAP_RXRING(receiver.nifp, 0);
    delivered_ += nm_ring_space(ring);
    ring->head = ring->cur = ring->tail;
    sync(receiver, NIOCRXSYNC);
  }

  const uint16_t length_;
  nmport_d* sender_ = nullptr;
  std::vector<nmport_d*> receivers_;  // never closed: they go with the process
  uint64_t sent_ = 0, delivered_ = 0;
  double send_seconds_ = 0, seconds_ = 0;
};
}  // namespace

int main(int argc, char** argv) {
  const int count = argc == 5 ? std::atoi(argv[2]) : 0;
  const int length = argc == 5 ? std::atoi(argv[3]) : 0;
  const double seconds = argc == 5 ? std::atof(argv[4]) : 0;
  if (count <= 0 || length < 14 || length > 2048 || seconds <= 0) {
    std::fprintf(stderr, "usage: bench-fanout SWITCH COUNT FRAME_LENGTH SECONDS\n");
    return 2;
  }
  raise_descriptor_limit();
  Fanout fanout(argv[1], count, static_cast<uint16_t>(length));
  fanout.run(kWarmUpSeconds);
  fanout.run(seconds);
  fanout.print();
}
