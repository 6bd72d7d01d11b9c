// SPDX-License-Identifier: BSD-2-Clause
// The rings of a device that is driven from here (mode `driver`): netmap's buffers are its descriptors', and a sync
// looks at those. The keeper started the device, and stops it.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <vector>

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

  // Readable when there may be news of a pair of rings after arm(): by its interrupt, or where none comes after some
  // time, which grows while nothing moves. Never read: whoever waits does so for the next edge.
  int bell(uint32_t pair) const;
  // News of what is received, or of room to send, are to ring the bells of these pairs. Another look has to follow.
  void arm(uint32_t first, uint32_t end, bool in, bool out);
  void note_moved() { moved_.store(true, std::memory_order_relaxed); }
  // It is another's from now on: what is mapped of it is not, and reads as zeros. vfio-pci waits for that.
  void let_go();

 private:
  DrivenDevice() = default;
  driver::Shared& shared() const { return *reinterpret_cast<driver::Shared*>(memory_.data()); }
  Result<void> map_doorbell();
  Result<void> take_bells(std::span<UniqueFd> fds);
  void let_line_through() const;
  void arm_pair(uint32_t pair, bool in, bool out);
  uint8_t* page(uint32_t pair, driver::DmaPage page) const { return part(driver::page_of(pair, page)); }
  uint8_t* part(uint32_t page) const { return memory_.data() + driver::pool_offset(shared().part_page[page]); }
  uint8_t* e1000_block() const { return shared().block ? part(driver::kControl) : nullptr; }
  const driver::E1000Card& e1000_card() const { return driver::e1000_card(driver::E1000Kind(shared().e1000_kind)); }
  driver::E1000Tails e1000_tails() const { return {*registers_, e1000_block(), e1000_card()}; }

  mem::Mapping memory_;
  UniqueFd holds_[2];
  void* bar_ = nullptr;
  uint32_t bar_bytes_ = 0, pair_count_ = 0;
  // Of a passed-through port: the BAR as its rings see it, and the page of the doorbell.
  std::optional<driver::PassedMemory> passed_;
  void* doorbell_ = nullptr;
  std::unique_ptr<driver::MappedRegisters> registers_;
  UniqueFd timer_;
  driver::Interrupts interrupts_ = driver::Interrupts::kNone;
  std::vector<UniqueFd> bells_;  // by pair
  UniqueFd let_through_;
  uint32_t pause_us_ = 0;
  std::atomic<bool> moved_{false}, let_go_{false};
};

class DriverTx final : public NicTx {
 public:
  DriverTx(std::shared_ptr<DrivenDevice> device, uint32_t pair, const vale::TxView& view);
  int sync(uint32_t& hwcur, uint32_t& hwtail, uint32_t head, bool recover, bool straight) override;
  void abandon() override { device_->let_go(); }

 private:
  std::shared_ptr<DrivenDevice> device_;
  std::unique_ptr<driver::TxQueue> queue_;
  TxKring* kring_;
};

class DriverRx final : public NicRx {
 public:
  DriverRx(std::shared_ptr<DrivenDevice> device, uint32_t pair, const NicRxView& view);
  int sync(uint32_t& hwcur, uint32_t head, uint32_t& hwtail, bool recover) override;
  void abandon() override { device_->let_go(); }

 private:
  std::shared_ptr<DrivenDevice> device_;
  std::unique_ptr<driver::RxQueue> queue_;
  RxKring* kring_;
};

}  // namespace unetmap::client
