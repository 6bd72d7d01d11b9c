// SPDX-License-Identifier: BSD-2-Clause
#include "mem/extents.hh"

namespace unetmap::mem {

std::optional<uint64_t> Extents::take(uint64_t count, uint64_t align) {
  if (count == 0 || count > free_total_) return std::nullopt;
  for (auto it = free_.begin(); it != free_.end(); ++it) {
    auto [from, to] = *it;
    uint64_t at = (from + align - 1) / align * align;
    if (at < from || at >= to || to - at < count) continue;
    free_.erase(it);
    if (at > from) free_.emplace(from, at);
    if (at + count < to) free_.emplace(at + count, to);
    free_total_ -= count;
    return at;
  }
  return std::nullopt;
}

bool Extents::give(uint64_t at, uint64_t count) {
  if (count == 0 || at < begin_ || at > end_ || count > end_ - at) return false;
  uint64_t to = at + count;
  auto next = free_.lower_bound(at);
  if (next != free_.end() && next->first < to) return false;
  auto before = next == free_.begin() ? free_.end() : std::prev(next);
  if (before != free_.end() && before->second > at) return false;
  free_total_ += count;
  if (next != free_.end() && next->first == to) {
    to = next->second;
    free_.erase(next);
  }
  if (before != free_.end() && before->second == at) before->second = to;
  else free_.emplace(at, to);
  return true;
}

bool Extents::taken(uint64_t at) const {
  if (at < begin_ || at >= end_) return false;
  auto next = free_.upper_bound(at);
  return next == free_.begin() || std::prev(next)->second <= at;
}

}  // namespace unetmap::mem
