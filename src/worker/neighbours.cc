// SPDX-License-Identifier: BSD-2-Clause
#include "worker/neighbours.hh"

#include <cstring>

#include "worker/loop.hh"

namespace unetmap::worker {

Neighbour* Handover::route(std::span<const uint8_t> beginning) {
  if (behind_ || beginning.size() < sizeof last_) [[unlikely]]
    return nullptr;
  uint64_t low;
  uint32_t high;
  memcpy(&low, beginning.data(), sizeof low);
  memcpy(&high, beginning.data() + sizeof low, sizeof high);
  if (known_ && low == low_ && high == high_) return last_to_;
  memcpy(last_, &low, sizeof low);
  memcpy(last_ + sizeof low, &high, sizeof high);
  known_ = true;
  low_ = low;
  high_ = high;
  if (!begun_) unetmap_router_begin(&router_, fd_);
  begun_ = true;
  last_to_ = ready(neighbours_.find(router_, last_));
  // An address that is learned in the middle of a batch: what went through the switch comes first.
  const uint64_t address = uint64_t{1} << ((low << 16) * 0x9e3779b97f4a7c15 >> 58);
  if (!last_to_)
    by_switch_ |= address;
  else if (by_switch_ & address)
    last_to_ = nullptr;
  return last_to_;
}

void Handover::full(const Neighbour* who) {
  for (uint32_t i = 0; i < count_; i++)
    if (touched_[i].who == who) touched_[i].full = true;
  known_ = false;
}

Neighbour* Handover::ready(Neighbour* who) {
  if (!who) return nullptr;
  for (uint32_t i = 0; i < count_; i++)
    if (touched_[i].who == who) return touched_[i].ready && !touched_[i].full ? who : nullptr;
  if (count_ == kMost) return nullptr;
  touched_[count_] = {who, who->ready(), false};
  return touched_[count_++].ready ? who : nullptr;
}

bool Patience::hold() {
  constexpr uint64_t kPatience_ns = 200'000;
  const uint64_t now = now_ns();
  if (since_ns_ == 0) since_ns_ = now;
  return now - since_ns_ < kPatience_ns;
}

}  // namespace unetmap::worker
