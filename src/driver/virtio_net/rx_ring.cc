// SPDX-License-Identifier: BSD-2-Clause
// Descriptors go out again in the order in which they came back: the n-th one used is the one that is given at the
// place n + descriptors of the available ring.
#include "driver/virtio_net/rings.hh"
#include "driver/virtio_net/split.hh"

namespace unetmap::driver {

VirtioRx::VirtioRx(Registers& registers, Shared& shared, const SplitPages& pages, const Ring& ring)
    : registers_(registers), shared_(shared), state_(shared.rx), pages_(pages), slots_(ring, shared.rx) {
  split::store16(pages_.available, split::kNoInterrupt);
}

// All that the device may have: up to the slot before `head`, which stays empty.
void VirtioRx::give(Tally& tally, uint32_t head) {
  const Ring& ring = slots_.ring();
  const uint64_t given = state_.given.load(std::memory_order_relaxed);
  const auto first = uint16_t(given), used = uint16_t(state_.taken.load(std::memory_order_relaxed));
  uint16_t available = first;
  uint32_t at = uint32_t(given >> 32);
  const uint32_t end = ring.before(head), size = shared_.descriptors;
  if (at >= ring.num_slots) at = end;
  for (; at != end && uint16_t(available - used) < size; at = ring.next(at)) {
    const uint32_t buffer = __atomic_load_n(&ring.slots[at].buf_idx, __ATOMIC_RELAXED);
    // A slot without a buffer that can be is left out; the ring has one slot less then.
    const uint64_t address =
        ring.memory.holds(buffer) ? ring.memory.device_address(buffer, -int64_t{kVirtioHeader}) : 0;
    if (address == 0) {
      tally.corrupt++;
      continue;
    }
    const uint32_t id = state_.ids[available % size].load(std::memory_order_relaxed) % size;
    split::describe(pages_.descriptors, id, address, kVirtioHeader + ring.memory.room(), split::kWrite, 0);
    state_.posted[id].store(buffer + 1, std::memory_order_relaxed);
    split::store16(split::available_entry(pages_.available, available % size), uint16_t(id));
    available++;
  }
  state_.giving.store(pack(available, at), std::memory_order_release);
  if (available != first) {
    split::store16(pages_.available + 2, available);
    if (split::wants_notification(pages_.used)) registers_.write(shared_.rx_notify, kRxQueueNumber, 2);
  }
  state_.given.store(pack(available, at), std::memory_order_release);
}

uint32_t VirtioRx::take(Tally& tally, uint32_t hwtail, uint32_t head, bool recovering) {
  const Ring& ring = slots_.ring();
  const uint64_t taken = state_.taken.load(std::memory_order_relaxed);
  const uint32_t end = ring.before(head), size = shared_.descriptors;
  const auto first = uint16_t(taken);
  const auto count = uint16_t(split::index_of(pages_.used) - first);
  uint32_t at = recovering ? uint32_t(taken >> 32) % ring.num_slots : hwtail;
  if (count > uint16_t(uint16_t(state_.given.load(std::memory_order_relaxed)) - first)) {
    tally.corrupt++;
    return at;
  }
  uint16_t used = first;
  for (uint16_t i = 0; i < count && at != end; i++) {
    const uint8_t* entry = split::used_entry(pages_.used, used % size);
    const uint32_t id = split::load32(entry), len = split::load32(entry + 4);
    const uint32_t buffer = id < size ? state_.posted[id].load(std::memory_order_relaxed) : 0;
    // Nothing that it ever had: the ring stands from here on.
    if (buffer == 0) {
      tally.corrupt++;
      break;
    }
    state_.ids[used % size].store(id, std::memory_order_relaxed);
    used++;
    if (len <= kVirtioHeader || len - kVirtioHeader > ring.memory.room() ||
        !slots_.show(at, end, buffer - 1, len - kVirtioHeader, recovering ? NS_BUF_CHANGED : 0)) {
      tally.corrupt++;
      continue;
    }
    tally.packets++;
    tally.bytes += len - kVirtioHeader;
    at = ring.next(at);
  }
  state_.taken.store(pack(used, at), std::memory_order_release);
  for (uint16_t i = first; i != used; i++)
    state_.posted[state_.ids[i % size].load(std::memory_order_relaxed) % size].store(0, std::memory_order_relaxed);
  return at;
}

void VirtioRx::recover() {
  slots_.recover();
  const uint64_t giving = state_.giving.load(std::memory_order_acquire);
  if (uint16_t(giving) == split::index_of(pages_.available)) state_.given.store(giving, std::memory_order_release);
  // The device may not have been told.
  registers_.write(shared_.rx_notify, kRxQueueNumber, 2);
}

void VirtioRx::sync(Tally& tally, uint32_t head, uint32_t& hwtail, bool recovering) {
  if (recovering) [[unlikely]]
    recover();
  give(tally, head);
  hwtail = take(tally, hwtail, head, recovering);
}

}  // namespace unetmap::driver
