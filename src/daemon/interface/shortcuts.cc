// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/interface/shortcuts.hh"

#include <linux/bpf.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace unetmap::daemon {

static_assert(sizeof(fast_member) == sizeof(fast_bucket) && sizeof(fast_bucket) == 64);

Result<std::unique_ptr<Shortcuts>> Shortcuts::create() {
  bpf_attr how{};
  how.map_type = BPF_MAP_TYPE_ARRAY;
  how.key_size = sizeof(uint32_t);
  how.value_size = sizeof(fast_bucket);
  how.max_entries = FAST_BUCKETS + FAST_MEMBERS;
  how.map_flags = BPF_F_MMAPABLE;
  std::unique_ptr<Shortcuts> out(new Shortcuts);
  out->fd_ = UniqueFd(int(syscall(SYS_bpf, BPF_MAP_CREATE, &how, sizeof how)));
  if (!out->fd_) return Error::from_errno(errno, "table of shortcuts");
  void* at = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, out->fd_.get(), 0);
  if (at == MAP_FAILED) return Error::from_errno(errno, "table of shortcuts");
  out->buckets_ = static_cast<fast_bucket*>(at);
  return out;
}

Shortcuts::~Shortcuts() {
  if (!buckets_) return;
  // Keepers that outlive us for a moment pass on nothing more.
  fill({});
  munmap(buckets_, kBytes);
}

std::optional<uint32_t> Shortcuts::take_member() {
  for (uint32_t i = 0; i < FAST_MEMBERS; i++)
    if (!taken_[i]) {
      taken_[i] = true;
      seen_[i] = 0;
      return i;
    }
  return std::nullopt;
}

// Its keeper may have been killed, and have left its word.
void Shortcuts::free_member(uint32_t member) {
  taken_[member] = false;
  __atomic_store_n(&place(member)->ifindex, 0, __ATOMIC_RELEASE);
  __atomic_store_n(&place(member)->mark, 0, __ATOMIC_RELEASE);
}

uint32_t Shortcuts::members() const { return uint32_t(std::count(std::begin(taken_), std::end(taken_), true)); }

void Shortcuts::fill(const std::vector<Station>& stations) {
  static thread_local fast_bucket wanted[FAST_BUCKETS];
  memset(wanted, 0, sizeof wanted);
  for (const Station& station : stations)
    for (auto& way : wanted[fast_bucket_of(station.address)].station) {
      if (way != 0) continue;
      way = station.address << 16 | (station.member + 1);
      break;
    }
  for (uint32_t b = 0; b < FAST_BUCKETS; b++)
    for (uint32_t way = 0; way < FAST_WAYS; way++)
      if (auto& word = buckets_[b].station[way]; __atomic_load_n(&word, __ATOMIC_RELAXED) != wanted[b].station[way])
        __atomic_store_n(&word, wanted[b].station[way], __ATOMIC_RELAXED);
}

fast_member Shortcuts::counted(uint32_t member) const {
  fast_member out{};
  const fast_member* from = place(member);
  out.rx_frames = __atomic_load_n(&from->rx_frames, __ATOMIC_RELAXED);
  out.rx_bytes = __atomic_load_n(&from->rx_bytes, __ATOMIC_RELAXED);
  out.tx_frames = __atomic_load_n(&from->tx_frames, __ATOMIC_RELAXED);
  out.tx_bytes = __atomic_load_n(&from->tx_bytes, __ATOMIC_RELAXED);
  return out;
}

bool Shortcuts::busy(uint32_t member) {
  uint64_t now = __atomic_load_n(&place(member)->rx_frames, __ATOMIC_RELAXED);
  bool any = now != seen_[member];
  seen_[member] = now;
  return any;
}

}  // namespace unetmap::daemon
