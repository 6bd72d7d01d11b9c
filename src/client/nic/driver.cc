// SPDX-License-Identifier: BSD-2-Clause
#include "client/nic/driver.hh"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>

#include "base/count.hh"
#include "client/link/numbers.hh"
#include "driver/passthrough/rings.hh"
#include "driver/virtio_net/rings.hh"
#include "wire/keeper.hh"

namespace unetmap::client {
namespace {

// Who waits looks again after so long; twice as long each time that nothing had come.
constexpr uint32_t kFirstPause_us = 50, kLongestPause_us = 2000;

}  // namespace

Result<std::shared_ptr<DrivenDevice>> DrivenDevice::map(UniqueFd bar, std::span<UniqueFd> memory) {
  const Error wrong{EPROTO, "unetmapd: bound to a device, but without the memory for it"};
  if (memory.size() < wire::kDriverFds) return wrong;
  std::shared_ptr<DrivenDevice> out(new DrivenDevice);
  struct stat file;
  if (fstat(memory[0].get(), &file) < 0) return Error::from_errno(errno, "memory of a device");
  auto mapping = mem::Mapping::map(memory[0].get(), uint64_t(file.st_size));
  if (!mapping) return mapping.error();
  out->memory_ = std::move(*mapping);
  if (out->memory_.size() < driver::kBufferPagesOffset) return wrong;
  const driver::Shared& shared = out->shared();
  const bool passed = shared.model == driver::Model::kPassthrough;
  if (shared.buffer_pages > (out->memory_.size() - driver::kBufferPagesOffset) / sizeof(uint64_t) ||
      shared.descriptors == 0 || shared.descriptors > (passed ? passthrough::kMostSlots : driver::kMostDescriptors))
    return wrong;
  for (uint32_t page : shared.part_page)
    if (page > driver::kPoolPages - driver::kPartPages) return wrong;
  out->pair_count_ = std::min(shared.pair_count, shared.model == driver::Model::kE1000 ? 1 : driver::kMostPairs);
  out->bar_bytes_ = shared.bar_bytes;
  void* at = mmap(nullptr, out->bar_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, bar.get(), off_t(shared.bar_offset));
  if (at == MAP_FAILED) return Error::from_errno(errno, "registers of a device");
  out->bar_ = at;
  for (size_t i = 0; i < std::size(out->holds_); i++) out->holds_[i] = move_high(std::move(memory[i + 1]));
  if (!passed) {
    out->registers_ = std::make_unique<driver::MappedRegisters>(at, out->bar_bytes_);
  } else {
    out->passed_ = driver::PassedMemory::of({static_cast<uint8_t*>(at), out->bar_bytes_});
    if (!out->passed_ || out->passed_->slots() != shared.descriptors || out->passed_->pairs() < out->pair_count_)
      return wrong;
    if (auto mapped = out->map_doorbell(); !mapped) return mapped.error();
  }
  out->timer_ = move_high(UniqueFd(int(syscall(SYS_timerfd_create, CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC))));
  if (!out->timer_) return Error::from_errno(errno, "timer of a device");
  if (auto taken = out->take_bells(memory.subspan(wire::kDriverFds)); !taken) return taken.error();
  return out;
}

Result<void> DrivenDevice::take_bells(std::span<UniqueFd> fds) {
  interrupts_ = shared().interrupts;
  if (fds.empty()) interrupts_ = driver::Interrupts::kNone;
  const size_t wanted =
      interrupts_ == driver::Interrupts::kNone ? 0 : pair_count_ + (driver::is_line(interrupts_) ? 1 : 0);
  if (fds.size() != wanted) return Error{EPROTO, "unetmapd: bound to a device, but without its interrupts"};
  if (wanted == 0) return {};
  for (UniqueFd& fd : fds.first(pair_count_)) bells_.push_back(move_high(std::move(fd)));
  if (driver::is_line(interrupts_)) let_through_ = move_high(std::move(fds.back()));
  return {};
}

Result<void> DrivenDevice::map_doorbell() {
  void* at = mmap(nullptr, driver::kPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, holds_[0].get(), 0);
  if (at == MAP_FAILED) return Error::from_errno(errno, "doorbell of a device");
  doorbell_ = at;
  registers_ = std::make_unique<driver::MappedRegisters>(at, driver::kPageBytes);
  return {};
}

// A host that took the port away, or has begun with another driver, syncs no ring of ours any more.
bool DrivenDevice::closed() const {
  if (shared().closed.load(std::memory_order_acquire) != 0) return true;
  if (!passed_) return false;
  const passthrough::HostBlock& host = passed_->host();
  return host.closed.load(std::memory_order_acquire) != 0 ||
         host.session.load(std::memory_order_relaxed) != shared().session;
}

DrivenDevice::~DrivenDevice() {
  if (bar_) munmap(bar_, bar_bytes_);
  if (doorbell_) munmap(doorbell_, driver::kPageBytes);
  for (const UniqueFd* fd : {&holds_[0], &holds_[1], &timer_, &let_through_})
    if (*fd) note_internal(fd->get(), false);
  for (const UniqueFd& bell : bells_) note_internal(bell.get(), false);
}

driver::BufferMemory DrivenDevice::buffers(uint8_t* bufs, uint32_t nbufs, uint32_t buf_size) const {
  return {bufs,
          nbufs,
          buf_size,
          wire::kUmemHeadroom,
          reinterpret_cast<const uint64_t*>(memory_.data() + driver::kBufferPagesOffset),
          shared().buffer_pages};
}

std::unique_ptr<driver::TxQueue> DrivenDevice::tx(uint32_t pair, const driver::Ring& ring) const {
  if (ring.num_slots > shared().descriptors || pair >= pair_count_) return nullptr;
  if (passed_) return std::make_unique<driver::PassedTx>(*registers_, shared(), pair, *passed_, ring);
  if (shared().model == driver::Model::kVirtioNet)
    return driver::virtio_tx(
        *registers_, shared(), pair,
        {page(pair, driver::kTxDescriptors), page(pair, driver::kTxAvailable), page(pair, driver::kTxUsed)}, ring);
  return std::make_unique<driver::E1000Tx>(e1000_tails(), shared(), page(pair, driver::kTxDescriptors), ring);
}

std::unique_ptr<driver::RxQueue> DrivenDevice::rx(uint32_t pair, const driver::Ring& ring) const {
  if (ring.num_slots > shared().descriptors || pair >= pair_count_) return nullptr;
  if (passed_) return std::make_unique<driver::PassedRx>(*registers_, shared(), pair, *passed_, ring);
  if (shared().model == driver::Model::kVirtioNet)
    return driver::virtio_rx(
        *registers_, shared(), pair,
        {page(pair, driver::kRxDescriptors), page(pair, driver::kRxAvailable), page(pair, driver::kRxUsed)}, ring);
  return std::make_unique<driver::E1000Rx>(e1000_tails(), shared(), page(pair, driver::kRxDescriptors), ring);
}

int DrivenDevice::bell(uint32_t pair) const { return pair < bells_.size() ? bells_[pair].get() : timer_.get(); }

// Threads may be in the middle of a sync: there is memory at that place, before and after.
void DrivenDevice::let_go() {
  if (passed_ || let_go_.exchange(true)) return;
  (void)mmap(bar_, bar_bytes_, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

void DrivenDevice::let_line_through() const {
  if (interrupts_ == driver::Interrupts::kLineOfVfio) {
    const uint64_t one = 1;
    syscall(SYS_write, let_through_.get(), &one, sizeof one);
  } else if (interrupts_ == driver::Interrupts::kLineOfUio) {
    constexpr off_t kCommand = 4;  // of the configuration space
    constexpr uint16_t kNoIntx = 1 << 10;
    uint16_t command = 0;
    if (syscall(SYS_pread64, let_through_.get(), &command, sizeof command, kCommand) != sizeof command) return;
    command = uint16_t(command & ~kNoIntx);
    syscall(SYS_pwrite64, let_through_.get(), &command, sizeof command, kCommand);
  }
}

void DrivenDevice::arm_pair(uint32_t pair, bool in, bool out) {
  if (shared().model == driver::Model::kVirtioNet) {
    driver::virtio_ask(
        *registers_, shared(), pair,
        {page(pair, driver::kTxDescriptors), page(pair, driver::kTxAvailable), page(pair, driver::kTxUsed)},
        {page(pair, driver::kRxDescriptors), page(pair, driver::kRxAvailable), page(pair, driver::kRxUsed)}, in, out);
  } else if (pair == 0) {
    driver::e1000_ask(*registers_, e1000_block(), e1000_card(), in, out);
  }
}

void DrivenDevice::arm(uint32_t first, uint32_t end, bool in, bool out) {
  if (!bells_.empty()) {
    if (closed()) return;  // whoever looks finds that
    const int saved = errno;
    for (uint32_t pair = first; pair < end && pair < bells_.size(); pair++) arm_pair(pair, in, out);
    let_line_through();
    errno = saved;
    return;
  }
  const bool moved = moved_.exchange(false, std::memory_order_relaxed);
  pause_us_ = moved ? kFirstPause_us : std::clamp(2 * pause_us_, kFirstPause_us, kLongestPause_us);
  itimerspec when{{0, 0}, {0, long(pause_us_) * 1000}};
  syscall(SYS_timerfd_settime, timer_.get(), 0, &when, nullptr);
}

DriverTx::DriverTx(std::shared_ptr<DrivenDevice> device, uint32_t pair, const vale::TxView& view)
    : device_(std::move(device)), kring_(view.kring) {
  queue_ = device_->tx(
      pair, {view.slots, view.num_slots, view.offset_mask, device_->buffers(view.bufs, view.nbufs, view.buf_size)});
}

int DriverTx::sync(uint32_t& hwcur, uint32_t& hwtail, uint32_t head, bool recover, bool) {
  if (!queue_) return ENXIO;
  if (device_->closed()) [[unlikely]] {
    device_->let_go();
    return ENXIO;
  }
  driver::Tally tally;
  const uint32_t tail = hwtail;
  queue_->sync(tally, hwcur, hwtail, head, recover);
  if (hwtail != tail) device_->note_moved();
  count(kring_->packets, tally.packets);
  count(kring_->bytes, tally.bytes);
  count(kring_->lost_malformed, tally.malformed);
  count(kring_->lost_buffer, tally.bad_buffer);
  count(kring_->lost_indirect, tally.indirect);
  return 0;
}

DriverRx::DriverRx(std::shared_ptr<DrivenDevice> device, uint32_t pair, const NicRxView& view)
    : device_(std::move(device)), kring_(view.kring) {
  queue_ = device_->rx(pair, {view.slots, view.num_slots, 0, device_->buffers(view.bufs, view.nbufs, view.buf_size)});
}

int DriverRx::sync(uint32_t& hwcur, uint32_t head, uint32_t& hwtail, bool recover) {
  if (!queue_) return ENXIO;
  if (device_->closed()) [[unlikely]] {
    device_->let_go();
    return ENXIO;
  }
  driver::Tally tally;
  const uint32_t tail = hwtail;
  queue_->sync(tally, head, hwtail, recover);
  if (hwtail != tail) device_->note_moved();
  hwcur = head;
  count(kring_->packets, tally.packets);
  count(kring_->bytes, tally.bytes);
  count(kring_->lost_corrupt, tally.corrupt);
  return 0;
}

}  // namespace unetmap::client
