// SPDX-License-Identifier: BSD-2-Clause
// What many stations cost: one process with a sending port and eight receiving ones, behind which ADDRESSES stations are.
// It sends batches of frames to stations in random order, then empties every receiver, so that no scheduler takes part.
//   bench-stations SWITCH ADDRESSES FRAME_LENGTH SECONDS
// Frames longer than a buffer take several slots. Of each only the addresses are written, whatever buffer the switch leaves.
// Prints one line of key=value pairs; sync_ns is the processor time in the syncs of both sides for each frame sent, copies how many ports
// a frame reached on average: more than one where the switch does not know its address (any more).
#include <libnetmap.h>
#include <net/netmap.h>
#include <net/netmap_user.h>
#include <sys/ioctl.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace {
using Clock = std::chrono::steady_clock;
constexpr uint32_t kBatch = 512, kReceivers = 8, kOrder = 1 << 20;
constexpr uint32_t kLongest = 32768;
constexpr double kWarmUpSeconds = 0.3;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Of the processor, this thread's: what else the machine does is not in it.
double processor_seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

nmport_d* open_port(const std::string& name) {
  nmport_d* port = nmport_open(name.c_str());
  if (port != nullptr) return port;
  std::fprintf(stderr, "bench-stations: open %s: %s\n", name.c_str(), std::strerror(errno));
  std::exit(1);
}

void sync(const nmport_d& port, unsigned long request) {
  if (ioctl(port.fd, request, nullptr) == 0) return;
  std::fprintf(stderr, "bench-stations: synchronise: %s\n", std::strerror(errno));
  std::exit(1);
}

void write_address(uint8_t* at, uint32_t station) {
  const uint8_t bytes[6] = {2,
                            1,
                            static_cast<uint8_t>(station >> 24),
                            static_cast<uint8_t>(station >> 16),
                            static_cast<uint8_t>(station >> 8),
                            static_cast<uint8_t>(station)};
  std::memcpy(at, bytes, sizeof bytes);
}

class Stations {
 public:
  Stations(const std::string& name, uint32_t addresses, uint32_t length) : length_(length), order_(kOrder) {
    sender_ = open_port(name + ":from");
    const uint32_t buffer = NETMAP_TXRING(sender_->nifp, 0)->nr_buf_size;
    pieces_ = (length + buffer - 1) / buffer;
    for (uint32_t i = 0; i < kReceivers; i++) receivers_.push_back(open_port(name + ":to" + std::to_string(i)));
    std::mt19937 random(1);
    std::uniform_int_distribution<uint32_t> any(0, addresses - 1);
    for (uint32_t& station : order_) station = any(random);
    // Each station is heard of once, from its port, as a broadcast.
    const uint32_t batch = kBatch / pieces_;
    for (uint32_t first = 0; first < addresses; first += batch)
      for (uint32_t i = 0; i < kReceivers; i++) {
        uint32_t n = 0;
        for (uint32_t station = first; station < std::min(first + batch, addresses); station++)
          if (station % kReceivers == i) put(*receivers_[i], n++, UINT32_MAX, station);
        send(*receivers_[i], n);
        drain_all();
      }
  }

  void run(double seconds) {
    sent_ = delivered_ = 0;
    sync_seconds_ = 0;
    const auto start = Clock::now();
    do {
      const uint32_t n = std::min(nm_ring_space(NETMAP_TXRING(sender_->nifp, 0)), kBatch) / pieces_;
      for (uint32_t i = 0; i < n; i++) put(*sender_, i, order_[next_++ % kOrder], UINT32_MAX);
      const double before = processor_seconds();
      send(*sender_, n);
      drain_all();
      sync_seconds_ += processor_seconds() - before;
      sent_ += n;
    } while (seconds_since(start) < seconds);
  }

  void print() const {
    const auto sent = static_cast<double>(std::max<uint64_t>(sent_, 1));
    std::printf("sent=%llu copies=%.3f sync_ns=%.2f\n", static_cast<unsigned long long>(sent_),
                static_cast<double>(delivered_) / sent, sync_seconds_ * 1e9 / sent);
  }

 private:
  // The n-th frame of a batch; UINT32_MAX: everybody, or the sender.
  void put(const nmport_d& port, uint32_t n, uint32_t to, uint32_t from) const {
    netmap_ring* ring = NETMAP_TXRING(port.nifp, 0);
    for (uint32_t piece = 0, left = length_; piece < pieces_; piece++) {
      netmap_slot& each = ring->slot[(ring->head + n * pieces_ + piece) % ring->num_slots];
      each.len = static_cast<uint16_t>(std::min(left, ring->nr_buf_size));
      left -= each.len;
      each.flags = left > 0 ? NS_MOREFRAG : 0;
    }
    const netmap_slot& slot = ring->slot[(ring->head + n * pieces_) % ring->num_slots];
    auto* frame = reinterpret_cast<uint8_t*>(NETMAP_BUF(ring, slot.buf_idx));
    if (to == UINT32_MAX)
      std::memset(frame, 0xff, 6);
    else
      write_address(frame, to);
    if (from == UINT32_MAX)
      std::memset(frame + 6, 0x22, 6);
    else
      write_address(frame + 6, from);
  }

  void send(const nmport_d& port, uint32_t n) const {
    netmap_ring* ring = NETMAP_TXRING(port.nifp, 0);
    ring->head = ring->cur = (ring->head + n * pieces_) % ring->num_slots;
    sync(port, NIOCTXSYNC);
  }

  void drain_all() {
    for (nmport_d* receiver : receivers_) {
      sync(*receiver, NIOCRXSYNC);
      netmap_ring* ring = NETMAP_RXRING(receiver->nifp, 0);
      delivered_ += nm_ring_space(ring) / pieces_;
      ring->head = ring->cur = ring->tail;
      sync(*receiver, NIOCRXSYNC);
    }
    netmap_ring* own = NETMAP_RXRING(sender_->nifp, 0);
    own->head = own->cur = own->tail;
    sync(*sender_, NIOCRXSYNC);
  }

  const uint32_t length_;
  uint32_t pieces_ = 1;  // slots of a frame
  std::vector<uint32_t> order_;
  uint32_t next_ = 0;
  nmport_d* sender_ = nullptr;
  std::vector<nmport_d*> receivers_;  // never closed: they go with the process
  uint64_t sent_ = 0, delivered_ = 0;
  double sync_seconds_ = 0;
};
}  // namespace

int main(int argc, char** argv) {
  const int addresses = argc == 5 ? std::atoi(argv[2]) : 0;
  const int length = argc == 5 ? std::atoi(argv[3]) : 0;
  const double seconds = argc == 5 ? std::atof(argv[4]) : 0;
  if (addresses <= 0 || length < 14 || length > static_cast<int>(kLongest) || seconds <= 0) {
    std::fprintf(stderr, "usage: bench-stations SWITCH ADDRESSES FRAME_LENGTH SECONDS\n");
    return 2;
  }
  Stations stations(argv[1], static_cast<uint32_t>(addresses), static_cast<uint32_t>(length));
  stations.run(kWarmUpSeconds);
  stations.run(seconds);
  stations.print();
}
