// SPDX-License-Identifier: BSD-2-Clause
#include "driver/passthrough/device.hh"

#include <algorithm>

namespace unetmap::driver {
namespace {

constexpr uint32_t kAnswerTries = 2000, kAnswerPause_us = 1000;

}  // namespace

Result<void> PassedDevice::start(const DeviceSettings&, Shared& shared, const PauseFor& pause) {
  const auto memory = PassedMemory::of(memory_);
  if (!memory) return Error{ENODEV, "its memory is none that unetmap plug --passthrough of this version gives"};
  if (memory->host().closed.load(std::memory_order_acquire))
    return Error{ENXIO, "the host has unplugged it; take the device out, and put it in again"};
  shared.model = Model::kPassthrough;
  shared.descriptors = memory->slots();
  shared.bar_bytes = uint32_t(memory->layout().bytes());
  shared.pair_count = memory->pairs();
  shared.most_bytes = std::min(kMostPieces * passthrough::kBufferBytes, passthrough::kLongestFrame);
  passthrough::GuestBlock& guest = memory->guest();
  for (uint32_t pair = 0; pair < memory->pairs(); pair++) {
    shared.pairs[pair].tx_notify = shared.pairs[pair].rx_notify = doorbell_;
    guest.pair[pair] = {};
    guest.pair[pair].rx.head = guest.pair[pair].rx.cur = 1;  // the host has none of its slots until the first sync
    for (uint32_t i = 0; i < memory->slots(); i++) {
      passthrough::store_slot(memory->tx_slots(pair), i, {0, 0, 0});
      passthrough::store_slot(memory->rx_slots(pair), i, {passthrough::kNoBuffer, 0, 0});
    }
  }
  // Another number than the last one, of which the host may still answer the end.
  const uint32_t last = memory->host().session.load(std::memory_order_relaxed);
  uint32_t session = std::max(last, guest.session.load(std::memory_order_relaxed)) + 1;
  if (session == 0) session = 1;
  shared.session = session;
  guest.session.store(session, std::memory_order_seq_cst);
  ring_host(registers_, doorbell_, *memory);
  for (uint32_t i = 0; i < kAnswerTries; i++) {
    if (memory->host().session.load(std::memory_order_acquire) == session) return {};
    pause(kAnswerPause_us);
  }
  guest.session.store(0, std::memory_order_release);
  return Error{ETIMEDOUT,
               "the host does not answer; its worker may have ended: take the device out, and put it in again"};
}

void PassedDevice::stop(const PauseFor&) {
  const auto memory = PassedMemory::of(memory_);
  if (!memory) return;
  memory->guest().session.store(0, std::memory_order_seq_cst);
  ring_host(registers_, doorbell_, *memory);
}

}  // namespace unetmap::driver
