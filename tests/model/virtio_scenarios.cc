// SPDX-License-Identifier: BSD-2-Clause
// Notification suppression of virtio rings, split and packed, with event indexes and without: dev/virtio_net/*_ring.cc against a driver
// as the specification has it (virtio 1.2, 2.7.13 and 2.8.22).
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "base/atomic.hh"
#include "dev/virtio_net/packed_ring.hh"
#include "dev/virtio_net/split_ring.hh"
#include "engine.hh"

namespace unetmap::model {
namespace {

constexpr uint32_t kQueue = 4, kChains = 2, kBytes = 64;
constexpr uint64_t kGuest = 0x10000;

// A guest with one page for all three parts of a ring, and one for buffers.
struct Guest {
  guest::GuestMemory memory;
  uint8_t* bytes;
  Guest() {
    int fd = memfd_create("model", 0);
    if (ftruncate(fd, 8192) < 0) abort();
    if (!memory.add({.guest = kGuest, .bytes = 8192, .user = kGuest}, fd)) abort();
    close(fd);
    bytes = memory.at(kGuest, 8192);
  }
};
Guest& the_guest() {
  static Guest the;
  return the;
}

uint16_t load16(const uint8_t* at, Order order, Here here = Here::current()) { return uint16_t(load(at, 2, order, here)); }
void store16(uint8_t* at, uint16_t value, Order order, Here here = Here::current()) { store(at, 2, value, order, here); }

struct SplitLayout {
  using Ring = virtio::SplitRing;
  static constexpr uint32_t kStart = 0;
  virtio::RingParts parts;
  bool event_idx;
  uint16_t offered = 0, seen = 0;

  void offer() {
    uint8_t* entry = parts.descriptors + 16 * offered;
    store(entry, 8, kGuest + 4096 + offered, Order::relaxed, Here::current());
    store(entry + 8, 4, kBytes + offered, Order::relaxed, Here::current());
    store16(entry + 12, 0, Order::relaxed);
    store16(entry + 14, 0, Order::relaxed);
    store16(parts.driver + 4 + 2 * offered, offered, Order::relaxed);
    store16(parts.driver + 2, ++offered, Order::release);
  }
  bool kick_wanted() {
    fence(Order::seq_cst, Here::current());
    if (!event_idx) return !(load16(parts.device, Order::relaxed) & 1);
    return virtio::passes(load16(parts.device + 4 + 8 * kQueue, Order::relaxed), offered, uint16_t(offered - 1));
  }
  void ask_for_call() {
    if (event_idx) store16(parts.driver + 4 + 2 * kQueue, seen, Order::relaxed);
    else store16(parts.driver, 0, Order::relaxed);
    fence(Order::seq_cst, Here::current());
  }
  bool reap() {
    if (load16(parts.device + 2, Order::acquire) == seen) return false;
    uint8_t* entry = parts.device + 4 + 8 * seen;
    check(load(entry, 4, Order::relaxed, Here::current()) == seen, "a used entry was shown before it was written");
    check(load(entry + 4, 4, Order::relaxed, Here::current()) == kBytes, "the same, of its length");
    seen++;
    return true;
  }
};

struct PackedLayout {
  using Ring = virtio::PackedRing;
  static constexpr uint32_t kStart = 0x8000;
  virtio::RingParts parts;
  bool event_idx;
  uint16_t offered = 0, seen = 0;

  void offer() {
    uint8_t* entry = parts.descriptors + 16 * offered;
    store(entry, 8, kGuest + 4096 + offered, Order::relaxed, Here::current());
    store(entry + 8, 4, kBytes + offered, Order::relaxed, Here::current());
    store16(entry + 12, offered++, Order::relaxed);
    store16(entry + 14, virtio::kDescAvail, Order::release);
  }
  bool kick_wanted() {
    fence(Order::seq_cst, Here::current());
    uint16_t flags = load16(parts.device + 2, Order::acquire);
    if (flags != 2) return flags == 0;
    uint16_t position = load16(parts.device, Order::relaxed);
    return virtio::passes(position & 0x7fff, offered, uint16_t(offered - 1));
  }
  void ask_for_call() {
    uint32_t event = event_idx ? 2u << 16 | 1u << 15 | seen : 0;
    store(parts.driver, 4, event, Order::relaxed, Here::current());
    fence(Order::seq_cst, Here::current());
  }
  bool reap() {
    uint8_t* entry = parts.descriptors + 16 * seen;
    if (!(load16(entry + 14, Order::acquire) & virtio::kDescUsed)) return false;
    check(load16(entry + 12, Order::relaxed) == seen, "a used entry was shown before it was written");
    check(load(entry + 8, 4, Order::relaxed, Here::current()) == kBytes, "the same, of its length");
    seen++;
    return true;
  }
};

template <class Layout>
struct Queue {
  Layout driver;
  typename Layout::Ring ring;
  Bell kick, call;

  explicit Queue(bool event_idx) {
    uint8_t* at = the_guest().bytes;
    memset(at, 0, 4096);
    driver.parts = {at, at + 1024, at + 2048};
    driver.event_idx = event_idx;
    ring.start(Layout::kStart, kQueue, {.event_idx = event_idx}, driver.parts, {});
  }
  static virtio::ChainBatch& batch() {
    static virtio::ChainBatch the;
    the.clear();
    return the;
  }
};

// A device that sleeps until it is kicked.
template <class Layout>
std::function<void()> kicks(bool event_idx) {
  auto q = std::make_shared<Queue<Layout>>(event_idx);
  q->ring.disarm(the_guest().memory);
  add_thread([q] {
    for (uint32_t i = 0; i < kChains; i++) {
      q->driver.offer();
      if (q->driver.kick_wanted()) q->kick.ring();
    }
  });
  add_thread([q] {
    const guest::GuestMemory& memory = the_guest().memory;
    uint32_t got = 0;
    for (;;) {
      auto& batch = q->batch();
      check(q->ring.take(memory, batch, kQueue) == virtio::RingFault::kNone, "a chain was refused");
      for (uint32_t i = 0; i < batch.size(); i++, got++) {
        check(batch[i].id == got, "another chain than was offered");
        check(batch[i].readable_bytes == kBytes + got, "a descriptor was seen before it was written");
        q->ring.give(memory, batch[i], 0);
      }
      q->ring.publish(memory);
      if (got == kChains) return;
      if (q->ring.arm(memory)) continue;
      q->kick.wait();
      q->ring.disarm(memory);
    }
  });
  return nullptr;
}

// A driver that sleeps until it is called.
template <class Layout>
std::function<void()> calls(bool event_idx) {
  auto q = std::make_shared<Queue<Layout>>(event_idx);
  for (uint32_t i = 0; i < kChains; i++) q->driver.offer();
  if (!event_idx) {
    if constexpr (std::is_same_v<Layout, SplitLayout>) store16(q->driver.parts.driver, 1, Order::relaxed);
    else store(q->driver.parts.driver, 4, 1u << 16, Order::relaxed, Here::current());
  }
  add_thread([q] {
    const guest::GuestMemory& memory = the_guest().memory;
    for (uint32_t i = 0; i < kChains; i++) {
      auto& batch = q->batch();
      check(q->ring.take(memory, batch, 1) == virtio::RingFault::kNone && batch.size() == 1, "a chain was refused");
      q->ring.give(memory, batch[0], kBytes);
      q->ring.publish(memory);
      if (q->ring.call_wanted()) q->call.ring();
    }
  });
  add_thread([q] {
    while (q->driver.seen < kChains) {
      if (q->driver.reap()) continue;
      q->driver.ask_for_call();
      if (q->driver.reap()) continue;
      q->call.wait();
    }
  });
  return nullptr;
}

const Registered split_kick("split kick", "a device asks for kicks and sleeps, a driver offers (flags)", [] { return kicks<SplitLayout>(false); });
const Registered split_kick_event("split kick, event index", "the same by event index", [] { return kicks<SplitLayout>(true); });
const Registered packed_kick("packed kick", "the same in the packed layout (flags)", [] { return kicks<PackedLayout>(false); });
const Registered packed_kick_event("packed kick, event index", "by event index", [] { return kicks<PackedLayout>(true); });
const Registered split_call("split call", "a driver asks for calls and sleeps, a device gives back (flags)", [] { return calls<SplitLayout>(false); });
const Registered split_call_event("split call, event index", "the same by event index", [] { return calls<SplitLayout>(true); });
const Registered packed_call("packed call", "the same in the packed layout (flags)", [] { return calls<PackedLayout>(false); });
const Registered packed_call_event("packed call, event index", "by event index", [] { return calls<PackedLayout>(true); });

}  // namespace
}  // namespace unetmap::model
