// SPDX-License-Identifier: BSD-2-Clause
#include "delay_line.hh"

namespace unetmap::tlem {

std::span<uint8_t> DelayLine::add(uint64_t leaves_ns, size_t bytes) {
  // A packet is in one piece: what is too short for it at the end stays empty.
  const bool wraps = head_ + bytes > capacity_;
  const size_t skipped = wraps ? capacity_ - head_ : 0;
  if (used_ + skipped + bytes > capacity_) return {};
  const size_t at = wraps ? 0 : head_;
  order_.push_back({leaves_ns, at, bytes, skipped});
  used_ += skipped + bytes;
  head_ = at + bytes;
  return {memory_.get() + at, bytes};
}

std::span<uint8_t> DelayLine::add_held(uint64_t leaves_ns, size_t bytes) {
  if (held_bytes_ + bytes > capacity_) return {};
  held_bytes_ += bytes;
  auto placed = held_.emplace(leaves_ns, std::vector<uint8_t>(bytes));
  return placed->second;
}

bool DelayLine::held_is_next() const {
  return !held_.empty() && (order_.empty() || held_.begin()->first < order_.front().leaves_ns);
}

uint64_t DelayLine::next_ns() const {
  if (held_is_next()) return held_.begin()->first;
  return order_.empty() ? kNever : order_.front().leaves_ns;
}

std::span<const uint8_t> DelayLine::front() const {
  if (held_is_next()) return held_.begin()->second;
  return {memory_.get() + order_.front().at, order_.front().bytes};
}

void DelayLine::take() {
  if (held_is_next()) {
    held_bytes_ -= held_.begin()->second.size();
    held_.erase(held_.begin());
    return;
  }
  used_ -= order_.front().skipped + order_.front().bytes;
  order_.pop_front();
  if (order_.empty()) head_ = used_ = 0;
}

}  // namespace unetmap::tlem
