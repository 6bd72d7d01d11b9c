// SPDX-License-Identifier: BSD-2-Clause
#include "client/descriptor/csb.hh"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "client/memory/user_memory.hh"
#include "client/ring/kring_lock.hh"

namespace unetmap::client {
namespace {

struct Blocks {
  uint64_t atok, ktoa;
};

Blocks load_blocks(std::span<const uint8_t> payload) {
  Blocks out{};
  memcpy(&out, payload.data(), std::min(payload.size(), sizeof out));
  return out;
}

// The netmap_if belongs to one descriptor, and its spare words are in memory that all holders of it share.
constexpr size_t kWordAt = offsetof(netmap_if, ni_spare1) + sizeof(uint32_t);
static_assert(kWordAt % sizeof(uint64_t) == 0 && kWordAt + sizeof(uint64_t) <= sizeof(netmap_if));

template <class Ring>
void enter(Ring& ring, const CsbEntry& entry) {
  CsbEntry before = ring.csb();
  ServiceIndexes kernel = ring.indexes_now();
  // What the application had put in its ring is not lost; what it has in older blocks neither.
  RingIndexes app = load_indexes(ring.ring(), before);
  if (app.head >= ring.ring()->num_slots || app.cur >= ring.ring()->num_slots) app = {kernel.hwcur, kernel.hwcur};
  memset(entry.ktoa, 0, sizeof *entry.ktoa);
  entry.atok->head = app.head;
  entry.atok->cur = app.cur;
  entry.atok->appl_need_kick = 1;
  entry.atok->sync_flags = 1;
  publish_indexes(nullptr, entry, kernel.hwcur, kernel.hwtail);
  __atomic_store_n(&entry.ktoa->kern_need_kick, 1, __ATOMIC_RELEASE);
  ring.use_csb(entry);
}

}  // namespace

std::atomic<uint64_t>& csb_word(const Bound& bound) {
  return *reinterpret_cast<std::atomic<uint64_t>*>(bound.privates() + bound.info.if_offset + kWordAt);
}

void wake_kloop(Bound& bound) {
  uint64_t one = 1;
  int saved = errno;
  syscall(SYS_write, bound.doorbell.get(), &one, sizeof one);
  errno = saved;
}

void end_kloop(Bound& bound) {
  int here = getpid();
  if (bound.kloop_pid.load(std::memory_order_acquire) != here) return;
  if (kloop_runner(csb_word(bound).load(std::memory_order_acquire)) == thread_word()) return;
  wake_kloop(bound);
  bound.kloop_pid.wait(here, std::memory_order_acquire);
}

int check_csb(std::span<const uint8_t> payload, uint64_t reg_flags, size_t rings) {
  if (rings == 0) return 0;
  Blocks blocks = load_blocks(payload);
  if (!(reg_flags & NR_EXCLUSIVE)) return EINVAL;
  if (blocks.atok % sizeof(nm_csb_atok)) return EINVAL;
  if (!writable_user(blocks.atok, rings * sizeof(nm_csb_atok))) return EFAULT;
  if (blocks.ktoa % sizeof(nm_csb_ktoa)) return EINVAL;
  return writable_user(blocks.ktoa, rings * sizeof(nm_csb_ktoa)) ? 0 : EFAULT;
}

int enable_csb(Bound& bound, std::span<const uint8_t> payload) {
  size_t rings = bound.tx.size() + bound.rx.size();
  std::lock_guard hold(bound.csb_mutex);
  std::atomic<uint64_t>& word = csb_word(bound);
  if (word.load(std::memory_order_acquire) & ~kLoopFlags) return EBUSY;
  if (rings == 0) return 0;
  if (int error = check_csb(payload, bound.info.reg_flags, rings)) return error;
  Blocks blocks = load_blocks(payload);
  auto* atok = reinterpret_cast<nm_csb_atok*>(blocks.atok);
  auto* ktoa = reinterpret_cast<nm_csb_ktoa*>(blocks.ktoa);
  for (auto& ring : bound.tx) enter(*ring, {atok++, ktoa++});
  for (auto& ring : bound.rx) enter(*ring, {atok++, ktoa++});
  bound.csb_here = true;
  word.fetch_or(kInCsbMode, std::memory_order_release);
  return 0;
}

}  // namespace unetmap::client
