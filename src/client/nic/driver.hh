// SPDX-License-Identifier: BSD-2-Clause
// The rings of a device that is driven from here (mode `driver`): netmap's buffers are its descriptors', and a sync
// looks at those. The keeper started the device, and stops it.
#pragma once

#include <atomic>
#include <memory>
#include <span>

#include "client/nic/rings.hh"
#include "driver/e1000/rings.hh"
#include "driver/mapped_registers.hh"
#include "driver/memory.hh"
#include "driver/passthrough/rings.hh"
#include "driver/queue.hh"
#include "mem/memfd.hh"
#include "vale/forward.hh"

namespace unetmap::client {

// A device as mapped here.
class DrivenDevice {
 public:
  // The BAR; then the memory and what holds it. Of a port that the host passes through: the BAR with its rings; then
  // the memory, and twice the BAR with its doorbell.
  static Result<std::shared_ptr<DrivenDevice>> map(UniqueFd bar, std::span<UniqueFd> memory);
  ~DrivenDevice();
  DrivenDevice(const DrivenDevice&) = delete;
  DrivenDevice& operator=(const DrivenDevice&) = delete;

  bool closed() const;
  // Of a pair of rings; nothing if the device has fewer.
  std::unique_ptr<driver::TxQueue> tx(uint32_t pair, const driver::Ring& ring) const;
  std::unique_ptr<driver::RxQueue> rx(uint32_t pair, const driver::Ring& ring) const;
  driver::BufferMemory buffers(uint8_t* bufs, uint32_t nbufs, uint32_t buf_size) const;

  // Readable some time after wake_soon(): where no interrupt comes, whoever sleeps looks again then. The time grows
  // while nothing moves.
  int timer() const { return timer_.get(); }
  void wake_soon();
  void note_moved() { moved_.store(true, std::memory_order_relaxed); }

 private:
  DrivenDevice() = default;
  driver::Shared& shared() const { return *reinterpret_cast<driver::Shared*>(memory_.data()); }
  Result<void> map_doorbell();
  bool passed() const { return shared().model == driver::Model::kPassthrough; }
  driver::PassedMemory passed_memory() const { return {static_cast<uint8_t*>(bar_), shared().descriptors}; }
  uint8_t* page(uint32_t pair, driver::DmaPage page) const { return part(driver::page_of(pair, page)); }
  uint8_t* part(uint32_t page) const { return memory_.data() + driver::pool_offset(shared().part_page[page]); }
  driver::E1000Tails e1000_tails() const { return {*registers_, shared().block ? part(driver::kControl) : nullptr}; }

  mem::Mapping memory_;
  UniqueFd holds_[2];
  void* bar_ = nullptr;
  uint32_t bar_bytes_ = 0, pair_count_ = 0;
  void* doorbell_ = nullptr;  // the page of it, of a passed-through port
  std::unique_ptr<driver::MappedRegisters> registers_;
  UniqueFd timer_;
  uint32_t pause_us_ = 0;
  std::atomic<bool> moved_{false};
};

class DriverTx final : public NicTx {
 public:
  DriverTx(std::shared_ptr<DrivenDevice> device, uint32_t pair, const vale::TxView& view);
  int sync(uint32_t& hwcur, uint32_t& hwtail, uint32_t head, bool recover, bool straight) override;

 private:
  std::shared_ptr<DrivenDevice> device_;
  std::unique_ptr<driver::TxQueue> queue_;
  TxKring* kring_;
};

class DriverRx final : public NicRx {
 public:
  DriverRx(std::shared_ptr<DrivenDevice> device, uint32_t pair, const NicRxView& view);
  int sync(uint32_t& hwcur, uint32_t head, uint32_t& hwtail, bool recover) override;

 private:
  std::shared_ptr<DrivenDevice> device_;
  std::unique_ptr<driver::RxQueue> queue_;
  RxKring* kring_;
};

}  // namespace unetmap::client
