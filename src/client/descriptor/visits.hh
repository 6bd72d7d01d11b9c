// SPDX-License-Identifier: BSD-2-Clause
// Who may still be inside a call on a descriptor that another thread closed: each thread says which ones it came to last,
// at no cost to those who come to the same one again. What nobody says is freed.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>

namespace unetmap::client {

class Descriptor;

// One thread's. Written by that thread alone, read by whoever frees.
struct Visits {
  // A call comes to one descriptor, and on its way to the one that its number is by now, if it was closed meanwhile.
  static constexpr size_t kKept = 4;
  std::array<std::atomic<const Descriptor*>, kKept> last{};
  size_t next = 0;  // where the one after the next goes
  std::atomic<bool> taken{false};
  Visits* others = nullptr;  // a list that only grows; places of threads that ended are taken again
};

// The calling thread's; nullptr until its first visit.
[[gnu::visibility("hidden"), gnu::tls_model("initial-exec")]] extern thread_local Visits* own_visits;
Visits* make_own_visits() noexcept;

// Says that this thread comes to `d`. It lives from now on for as long as this thread comes to no other kKept ones, if
// its number still leads to it after this.
inline void visit(const Descriptor* d) noexcept {
  Visits* mine = own_visits ? own_visits : make_own_visits();
  if (mine->last[(mine->next - 1) % Visits::kKept].load(std::memory_order_relaxed) == d) return;
  mine->last[mine->next++ % Visits::kKept].store(d, std::memory_order_relaxed);
  // Against the compiler; against the processor, who frees makes every thread pass a barrier (await_visits).
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

// What was said before this, by any thread, is seen after it. False where the kernel does not offer that, or a thread
// found no memory to say it in; nothing may be freed then.
bool await_visits() noexcept;
// Whether a thread came to it last.
bool visited(const Descriptor* d) noexcept;
// In a child: the other threads are gone.
void forget_other_visits() noexcept;

}  // namespace unetmap::client
