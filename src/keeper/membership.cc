// SPDX-License-Identifier: BSD-2-Clause
#include "keeper/membership.hh"

#include <bpf/bpf.h>
#include <sys/mman.h>

#include <cstring>

namespace unetmap::keeper {
namespace {

static_assert(sizeof(fast_member) == 64 && sizeof(fast_bucket) == 64);
constexpr size_t kTableBytes = (FAST_BUCKETS + FAST_MEMBERS) * sizeof(fast_bucket);

}  // namespace

fast_member& Membership::place() { return *reinterpret_cast<fast_member*>(elements_ + FAST_BUCKETS + member_); }

bool Membership::fits(int table) {
  bpf_map_info info{};
  uint32_t bytes = sizeof info;
  return bpf_obj_get_info_by_fd(table, &info, &bytes) == 0 && info.type == BPF_MAP_TYPE_ARRAY &&
         info.value_size == sizeof(fast_bucket) && info.max_entries == FAST_BUCKETS + FAST_MEMBERS;
}

Result<void> Membership::join(int table, uint32_t member, uint32_t ifindex, uint32_t mark) {
  void* at = mmap(nullptr, kTableBytes, PROT_READ | PROT_WRITE, MAP_SHARED, table, 0);
  if (at == MAP_FAILED) return Error::from_errno(errno, "table of the switch");
  elements_ = static_cast<fast_bucket*>(at);
  member_ = member;
  fast_member fresh{};
  fresh.mark = mark;
  memcpy(&place(), &fresh, sizeof fresh);
  // Programs look at ifindex first.
  __atomic_store_n(&place().ifindex, ifindex, __ATOMIC_RELEASE);
  return {};
}

Membership::~Membership() {
  if (!elements_) return;
  __atomic_store_n(&place().ifindex, 0, __ATOMIC_RELEASE);
  munmap(elements_, kTableBytes);
}

}  // namespace unetmap::keeper
