// SPDX-License-Identifier: BSD-2-Clause
// Two virtio-net drivers that cost next to nothing, in one thread: all frames of the sender are written once, nobody
// reads those of the receiver, and whatever a device is done with it may have again at once. What a switch makes of it
// is its own rate.
// With STATIONS the receiver first tells of so many addresses, and each frame is for another one of them, in random
// order.
//   bench-vring-pair SENDER_SOCKET RECEIVER_SOCKET FRAME_LENGTH SENT_FILE RECEIVED_FILE [STATIONS]
#include <sched.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <new>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#include "dev/virtio_net/features.hh"
#include "vhost_client.hh"

namespace {

constexpr uint32_t kSize = 1024, kHeader = 12, kRings = 2, kRx = 0, kTx = 1;
// As far apart as DPDK's: 2048 bytes apart their first lines would share few sets of a cache.
constexpr uint32_t kStride = 2304;
constexpr uint64_t kGuest = 0x10'0000;  // where the device finds our memory
constexpr uint16_t kWrite = 2, kNoNotify = 1, kNoInterrupt = 1;

struct Descriptor {
  uint64_t address;
  uint32_t bytes;
  uint16_t flags, next;
};
struct Available {
  uint16_t flags;
  std::atomic<uint16_t> index;
  uint16_t id[kSize + 1];
};
struct Used {
  std::atomic<uint16_t> flags, index;
  struct {
    uint32_t id, bytes;
  } element[kSize];
  uint16_t event;
};
// What both sides write lies in pages of its own.
struct Ring {
  alignas(4096) Descriptor descriptor[kSize];
  alignas(4096) Available available;
  alignas(4096) Used used;
  alignas(4096) uint8_t buffer[kSize][kStride];
};
struct Memory {
  Ring ring[kRings];
};

class Driver {
 public:
  Driver(const char* path, size_t bytes, bool sends) : memory_(map()), client_(client(path)) {
    for (uint32_t number = 0; number < kRings; number++) {
      Ring& ring = memory_.ring[number];
      ring.available.flags = kNoInterrupt;
      for (uint32_t i = 0; i < kSize; i++) {
        const auto at = uint64_t(ring.buffer[i] - reinterpret_cast<uint8_t*>(&memory_));
        ring.descriptor[i] = {kGuest + at, number == kTx ? uint32_t(kHeader + bytes) : kStride,
                              number == kTx ? uint16_t{0} : kWrite, 0};
        ring.available.id[i] = uint16_t(i);
        if (number == kTx) peer::build_frame(ring.buffer[i] + kHeader, bytes, !sends);
      }
      client_.start_ring(number, kSize, ring.descriptor, &ring.available, &ring.used);
    }
    give(kRx, kSize);
  }

  void give(uint32_t number, uint32_t count) {
    Ring& ring = memory_.ring[number];
    const auto index = uint16_t(ring.available.index.load(std::memory_order_relaxed) + count);
    ring.available.index.store(index, std::memory_order_release);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (!(ring.used.flags.load(std::memory_order_relaxed) & kNoNotify)) client_.notify(number);
  }
  // The address behind which the station is, as the destination or the source of the frame in that buffer of the
  // sending ring.
  void write_station(uint32_t buffer, uint32_t station, bool source) {
    uint8_t* const at = memory_.ring[kTx].buffer[buffer % kSize] + kHeader + (source ? 6 : 0);
    const uint32_t last = __builtin_bswap32(station);
    at[0] = 2;
    at[1] = 1;
    std::memcpy(at + 2, &last, sizeof last);
  }
  // How many the device is done with since the last look.
  uint32_t take(uint32_t number) {
    const uint16_t now = memory_.ring[number].used.index.load(std::memory_order_acquire);
    return uint16_t(now - std::exchange(seen_[number], now));
  }

 private:
  Memory& map() {
    fd_ = memfd_create("guest", MFD_CLOEXEC);
    if (fd_ < 0 || ftruncate(fd_, sizeof(Memory)) < 0) peer::fail("make", "guest memory");
    void* at = mmap(nullptr, sizeof(Memory), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_, 0);
    if (at == MAP_FAILED) peer::fail("mmap", "guest memory");
    return *new (at) Memory;
  }
  peer::VhostClient client(const char* path) {
    return {path, unetmap::virtio::kVersion1, fd_, &memory_, sizeof(Memory), kGuest};
  }

  int fd_ = -1;
  Memory& memory_;
  peer::VhostClient client_;
  uint16_t seen_[kRings] = {};
};

// Each number below `count` once, in random order.
std::vector<uint32_t> shuffled(uint32_t count) {
  std::vector<uint32_t> out(count);
  std::iota(out.begin(), out.end(), 0);
  std::shuffle(out.begin(), out.end(), std::mt19937(1));
  return out;
}

// So that the switch knows where the receiver is, and has heard before the first frame for it comes.
void announce(Driver& receiver, uint32_t stations) {
  for (uint32_t next = 0; next < std::max(stations, 1u) && !peer::stop; next++) {
    if (stations) receiver.write_station(next, next, true);
    receiver.give(kTx, 1);
    while (!peer::stop && receiver.take(kTx) == 0) sched_yield();
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6 && argc != 7) {
    std::fprintf(
        stderr,
        "usage: bench-vring-pair SENDER_SOCKET RECEIVER_SOCKET FRAME_LENGTH SENT_FILE RECEIVED_FILE [STATIONS]\n");
    return 2;
  }
  const size_t bytes = peer::parse_frame_length(argv[3]);
  peer::Counters sent(argv[4]), received(argv[5]);
  peer::stop_on_signal();
  Driver sender(argv[1], bytes, true), receiver(argv[2], bytes, false);
  const std::vector<uint32_t> order = shuffled(argc == 7 ? uint32_t(std::strtoul(argv[6], nullptr, 10)) : 0);
  announce(receiver, uint32_t(order.size()));
  uint32_t buffer = 0, station = 0;
  const auto send = [&](uint32_t count) {
    for (uint32_t i = 0; i < count && !order.empty(); i++) {
      sender.write_station(buffer++, order[station], false);
      station = station + 1 < order.size() ? station + 1 : 0;
    }
    sender.give(kTx, count);
  };
  send(kSize);
  while (!peer::stop) {
    if (const uint32_t count = receiver.take(kRx)) {
      received.add(count, uint64_t{count} * bytes);
      receiver.give(kRx, count);
    }
    if (const uint32_t count = sender.take(kRx)) sender.give(kRx, count);
    if (const uint32_t count = sender.take(kTx)) {
      sent.add(count, uint64_t{count} * bytes);
      send(count);
    }
  }
}
