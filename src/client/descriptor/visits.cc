// SPDX-License-Identifier: BSD-2-Clause
#include "client/descriptor/visits.hh"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <new>

#include "client/link/at_thread_end.hh"

namespace unetmap::client {

thread_local Visits* own_visits = nullptr;

namespace {

std::atomic<Visits*> all{nullptr};

void clear(Visits& visits) {
  for (auto& each : visits.last) each.store(nullptr, std::memory_order_relaxed);
  visits.taken.store(false, std::memory_order_release);
}

// The thread's end. What it calls after that, from other destructors, takes a place anew and keeps it.
const AtThreadEnd leave([](void* visits) {
  clear(*static_cast<Visits*>(visits));
  own_visits = nullptr;
});

// For threads that find no memory for places of their own. What they visit is not known one by one: see await_visits().
Visits shared_place;
std::atomic<bool> place_is_shared{false};

Visits* vacant() {
  for (Visits* each = all.load(std::memory_order_acquire); each; each = each->others) {
    bool taken = false;
    if (each->taken.compare_exchange_strong(taken, true, std::memory_order_acquire)) return each;
  }
  auto* made = new (std::nothrow) Visits;
  if (!made) {
    place_is_shared.store(true, std::memory_order_seq_cst);
    return nullptr;
  }
  made->taken.store(true, std::memory_order_relaxed);
  made->others = all.load(std::memory_order_relaxed);
  while (!all.compare_exchange_weak(made->others, made, std::memory_order_release, std::memory_order_relaxed)) {
  }
  return made;
}

}  // namespace

Visits* make_own_visits() noexcept {
  Visits* const own = vacant();
  if (!own) return &shared_place;  // and looks for one of its own the next time
  leave.remember(own);
  return own_visits = own;
}

bool await_visits() noexcept {
  static const bool offered =
      syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
  return offered && !place_is_shared.load(std::memory_order_seq_cst) &&
         syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
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
