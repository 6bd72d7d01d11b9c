// SPDX-License-Identifier: BSD-2-Clause
#include "driver/passthrough/device.hh"

#include <algorithm>

namespace unetmap::driver {
namespace {

constexpr uint32_t kAnswerTries = 2000, kAnswerPause_us = 1000;

}  // namespace

Result<void> PassedDevice::start(const DeviceSettings&, Shared& shared, const PauseFor& pause) {
  uint32_t slots = 0;
  if (!PassedMemory::check(memory_, slots))
    return Error{ENODEV, "its memory is none that unetmap plug --passthrough of this version gives"};
  const PassedMemory memory(memory_.data(), slots);
  if (memory.host().closed.load(std::memory_order_acquire))
    return Error{ENXIO, "the host has unplugged it; take the device out, and put it in again"};
  shared.model = Model::kPassthrough;
  shared.descriptors = slots;
  shared.bar_bytes = uint32_t(passthrough::Layout{slots}.bytes());
  shared.pair_count = 1;
  shared.pairs[0].tx_notify = shared.pairs[0].rx_notify = doorbell_;
  shared.most_bytes = std::min(kMostPieces * passthrough::kBufferBytes, passthrough::kLongestFrame);
  passthrough::GuestBlock& guest = memory.guest();
  for (nm_csb_atok* block : {&guest.tx, &guest.rx}) *block = {};
  for (uint32_t i = 0; i < slots; i++) {
    passthrough::store_slot(memory.tx_slots(), i, {memory.tx_buffer(i), 0, 0});
    passthrough::store_slot(memory.rx_slots(), i, {memory.rx_buffer(i), 0, 0});
  }
  // Another number than the last one, of which the host may still answer the end.
  const uint32_t last = memory.host().session.load(std::memory_order_relaxed);
  uint32_t session = std::max(last, guest.session.load(std::memory_order_relaxed)) + 1;
  if (session == 0) session = 1;
  shared.session = session;
  guest.session.store(session, std::memory_order_seq_cst);
  ring_host(registers_, doorbell_, memory);
  for (uint32_t i = 0; i < kAnswerTries; i++) {
    if (memory.host().session.load(std::memory_order_acquire) == session) return {};
    pause(kAnswerPause_us);
  }
  guest.session.store(0, std::memory_order_release);
  return Error{ETIMEDOUT,
               "the host does not answer; its worker may have ended: take the device out, and put it in again"};
}

void PassedDevice::stop(const PauseFor&) {
  uint32_t slots = 0;
  if (!PassedMemory::check(memory_, slots)) return;
  const PassedMemory memory(memory_.data(), slots);
  memory.guest().session.store(0, std::memory_order_seq_cst);
  ring_host(registers_, doorbell_, memory);
}

}  // namespace unetmap::driver
