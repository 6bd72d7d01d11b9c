// SPDX-License-Identifier: BSD-2-Clause
#include "client/descriptor/visits.hh"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace unetmap::client {

thread_local Visits* own_visits = nullptr;

namespace {

std::atomic<Visits*> all{nullptr};

void clear(Visits& visits) {
  for (auto& each : visits.last) each.store(nullptr, std::memory_order_relaxed);
  visits.taken.store(false, std::memory_order_release);
}

// The thread's end. What it calls after that, from other destructors, takes a place anew and keeps it.
struct Leave {
  ~Leave() {
    if (own_visits) clear(*own_visits);
    own_visits = nullptr;
  }
};
thread_local Leave leave;

Visits* vacant() {
  for (Visits* each = all.load(std::memory_order_acquire); each; each = each->others) {
    bool taken = false;
    if (each->taken.compare_exchange_strong(taken, true, std::memory_order_acquire)) return each;
  }
  auto* made = new Visits;
  made->taken.store(true, std::memory_order_relaxed);
  made->others = all.load(std::memory_order_relaxed);
  while (!all.compare_exchange_weak(made->others, made, std::memory_order_release, std::memory_order_relaxed)) {
  }
  return made;
}

}  // namespace

Visits* make_own_visits() noexcept {
  (void)&leave;  // made by being named
  return own_visits = vacant();
}

bool await_visits() noexcept {
  static const bool offered =
      syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
  return offered && syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
}

bool visited(const Descriptor* d) noexcept {
  for (Visits* each = all.load(std::memory_order_acquire); each; each = each->others)
    for (auto& last : each->last)
      if (last.load(std::memory_order_acquire) == d) return true;
  return false;
}

void forget_other_visits() noexcept {
  for (Visits* each = all.load(std::memory_order_acquire); each; each = each->others)
    if (each != own_visits) clear(*each);
}

}  // namespace unetmap::client
