// SPDX-License-Identifier: BSD-2-Clause
// poll's half of netmap: syncs, then what is ready; and how to sleep until that changes.
#include <poll.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "client/descriptor/calls.hh"
#include "client/descriptor/csb.hh"
#include "client/descriptor/descriptor.hh"
#include "client/descriptor/missed_lock.hh"
#include "client/link/errors.hh"

namespace unetmap::client {
namespace {

constexpr short kIn = POLLIN | POLLRDNORM, kOut = POLLOUT | POLLWRNORM;

// Spinning pays where a wake-up crosses cores: it costs tens of microseconds there, and the peer runs meanwhile.
constexpr uint32_t kSpinMaxNs = 60'000, kSpinStartNs = 30'000;

uint64_t now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return uint64_t(now.tv_sec) * 1'000'000'000 + uint64_t(now.tv_nsec);
}

void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

thread_local const Descriptor* missed_by = nullptr;

// Whether poll sends what stands in the tx rings although nobody waits for room there.
bool sends_in_poll(const Bound& bound) { return !(bound.info.reg_flags & NR_NO_TX_POLL); }

short sync_rings(Descriptor& d, short wanted) {
  Bound* bound = d.bound_now();
  if (!bound) bound = d.bound(true);
  if (!bound) return POLLERR;
  if (!d.daemon_alive() || bound->gone()) [[unlikely]] {
    if (bound->nic) bound->nic->abandon();
    return POLLERR;
  }
  if (in_csb_mode(*bound) || bound->failed()) return POLLERR;
  short out = 0;
  bool taken = false;
  auto note = [&](int error) {
    if (error == EINVAL || error == ENXIO || error == EIO) out |= POLLERR;
    taken |= error == EBUSY;
  };
  uint64_t flags = bound->info.reg_flags;
  bool want_out = wanted & kOut, want_in = wanted & kIn;
  if (want_out || sends_in_poll(*bound))
    for (auto& ring : bound->tx) {
      if (!want_out && ring->idle()) continue;
      note(ring->sync());
      if (want_out && ring->ready()) out |= wanted & kOut;
    }
  if (want_in || (flags & NR_DO_RX_POLL))
    for (auto& ring : bound->rx) {
      note(ring->sync());
      if (want_in && ring->ready()) out |= wanted & kIn;
    }
  if (bound->orphaned()) [[unlikely]]
    out |= POLLERR;  // beside what came before
  if (taken)
    missed_by = &d;
  else if (missed_by == &d)
    missed_by = nullptr;
  return out;
}

}  // namespace

short sync_events(Descriptor& d, short wanted) noexcept {
  return unless_no_memory(short(POLLERR), [&] { return sync_rings(d, wanted); });
}

bool missed_lock(const Descriptor& d) noexcept { return missed_by == &d; }

void arm(Descriptor& d, short wanted) noexcept {
  Bound* bound = d.bound_now();
  if (!bound) return;
  // What waits for room goes on when there is some, whatever the caller waits for: the look that follows sends it.
  auto waits = [&](const TxRing& ring) { return (wanted & kOut) || (sends_in_poll(*bound) && ring.pending()); };
  if (bound->nic) {
    bool out = std::any_of(bound->tx.begin(), bound->tx.end(), [&](auto& ring) { return waits(*ring); });
    return bound->nic->arm(wanted & kIn, out);
  }
  uint32_t file = bound->info.file_id;
  if (wanted & kIn)
    for (auto& ring : bound->rx) {
      // A reset waits for senders that are in the middle of something; nobody rings when they are through.
      for (int i = 0; i < 20 && ring->resetting(); i++) {
        timespec moment{0, 500'000};
        syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &moment, nullptr);
        ring->sync();
      }
      add_waiter(ring->readers(), file);
      ring->note_sleep();
      ring->wake_writers();
    }
  for (auto& ring : bound->tx)
    if (WaitList* list = waits(*ring) ? ring->writers() : nullptr) add_waiter(*list, file);
}

bool likely(Descriptor& d, short wanted) noexcept {
  Bound* bound = d.bound_now();
  if (!bound || d.dead() || bound->nic) return true;
  if (wanted & kIn)
    for (auto& ring : bound->rx)
      if (ring->something_likely() || ring->ready() || ring->resetting()) return true;
  for (auto& ring : bound->tx) {
    if ((wanted & kOut) && (ring->room_likely() || ring->ready())) return true;
    if (sends_in_poll(*bound) && ring->pending() && ring->room_likely()) return true;
  }
  return false;
}

int doorbell(Descriptor& d) noexcept {
  Bound* bound = unless_no_memory(static_cast<Bound*>(nullptr), [&] { return d.bound(true); });
  return bound ? bound->bell() : -1;
}

uint64_t activity(Descriptor& d, short event) noexcept {
  Bound* bound = d.bound_now();
  uint64_t sum = 0;
  if (!bound) return 0;
  if (event & kIn)
    for (auto& ring : bound->rx) sum += ring->tail_count();
  if (event & kOut)
    for (auto& ring : bound->tx) sum += ring->completed();
  return sum;
}

namespace {

// Where the peers that a wait is for last ran.
struct Peers {
  bool here = false;       // on this processor
  bool elsewhere = false;  // on another one
};

// Who sends to an interface is not to be known; whether waits were short is.
Peers peers_of(Bound& bound, short wanted) {
  if (bound.nic) return {.elsewhere = (wanted & kIn) != 0};
  const uint32_t here = uint32_t(sched_getcpu()) + 1;
  Peers peers;
  auto note = [&](uint32_t peer) {
    peers.here |= peer == here;
    peers.elsewhere |= peer != 0 && peer != here;
  };
  if (wanted & kIn)
    for (auto& ring : bound.rx) {
      ring->note_cpu(here);
      note(ring->peer_cpu());
    }
  if (wanted & kOut)
    for (auto& ring : bound.tx) note(ring->peer_cpu());
  return peers;
}

// A peer that is ready to run on this processor gets it at once, without being woken, and gives it back the same way: two
// system calls less for each side than going to sleep. Whoever yields may be put far behind in the processor's queue: where
// others ran meanwhile, there is no other yield for so long that little is lost by them. Those that bring nothing become rare.
bool give_way(Bound& bound, Descriptor& d, short wanted) {
  constexpr uint64_t kLong_ns = 300'000, kRest = 100;  // times what the yield took
  constexpr uint32_t kMostSkipped = 63;
  if (const uint32_t left = bound.yields_skipped.load(std::memory_order_relaxed)) {
    bound.yields_skipped.store(left - 1, std::memory_order_relaxed);
    return false;
  }
  const uint64_t begin = now_ns();
  if (begin < bound.no_yield_before_ns.load(std::memory_order_relaxed)) return false;
  sched_yield();
  const bool news = likely(d, wanted);
  const uint64_t took = now_ns() - begin;
  if (took >= kLong_ns) bound.no_yield_before_ns.store(begin + kRest * took, std::memory_order_relaxed);
  const uint32_t pause = bound.yield_pause.load(std::memory_order_relaxed);
  const uint32_t next = news ? 0 : std::min(2 * pause + 1, kMostSkipped);
  bound.yield_pause.store(next, std::memory_order_relaxed);
  bound.yields_skipped.store(next, std::memory_order_relaxed);
  return news;
}

}  // namespace

bool spin(Descriptor& d, short wanted) noexcept {
  Bound* bound = d.bound_now();
  if (!bound) return false;
  // Where others sleep until there is room, it is theirs in turn, and who spins would take it first each time.
  auto others_first = [bound](auto& ring) {
    WaitList* list = ring->writers();
    return list && others_wait(*list, bound->info.file_id);
  };
  if ((wanted & kOut) && std::any_of(bound->tx.begin(), bound->tx.end(), others_first)) return false;
  const Peers peers = peers_of(*bound, wanted);
  if (!peers.elsewhere) return peers.here && give_way(*bound, d, wanted);
  uint32_t budget = bound->spin_ns.load(std::memory_order_relaxed);
  if (budget == 0) {
    // Spinning did not pay lately: try again now and then.
    if (bound->spin_failures.fetch_add(1, std::memory_order_relaxed) % 16 != 15) return false;
    budget = kSpinStartNs;
  }
  uint64_t until = now_ns() + budget;
  do {
    for (int i = 0; i < 32; i++) {
      // The rings of an interface's socket tell nothing without the ring's lock.
      bool news = bound->nic ? i % 8 == 7 && sync_events(d, kIn) != 0 : likely(d, wanted);
      if (news) {
        bound->spin_ns.store(kSpinMaxNs, std::memory_order_relaxed);
        return true;
      }
      pause_cpu();
    }
  } while (now_ns() < until);
  bound->spin_ns.store(budget > 4000 ? budget / 2 : 0, std::memory_order_relaxed);
  return false;
}

}  // namespace unetmap::client
