// SPDX-License-Identifier: BSD-2-Clause
// Causes, their mask, and when the line goes up: SDM 13.4.17-13.4.21 and 3.2.7, 3.4.3, with all five timers.
//
//   receive    RDTR  from the last packet on, begun again by each; 0: at once (and RADV does not count)
//              RADV  from the first packet on that no interrupt has told of; bounds RDTR
//              whichever ends sets RXT0 and stops the other
//   transmit   TIDV, TADV  the same for descriptors with RS and IDE; one with RS alone sets TXDW at once, stopping both
//   both       ITR   the least time between two assertions of the line; causes wait behind it
//
// RDTR, RADV, TIDV, TADV count 1.024 us, ITR 0.256 us.
#pragma once

#include <cstdint>

#include "dev/e1000/registers.hh"

namespace unetmap::e1000 {

class Interrupts {
 public:
  static constexpr uint64_t kNever = UINT64_MAX;

  Interrupts(bool mitigation, uint16_t least_itr) noexcept : mitigation_(mitigation), least_itr_(least_itr) {}
  void reset() noexcept;

  // --- Registers
  [[nodiscard]] uint32_t causes() const noexcept { return icr_; }
  [[nodiscard]] uint32_t mask() const noexcept { return ims_; }
  uint32_t read_icr() noexcept;
  void clear(uint32_t causes) noexcept;
  void allow(uint32_t causes, uint64_t now_ns) noexcept;
  void forbid(uint32_t causes) noexcept;
  void set_itr(uint32_t value, uint64_t now_ns) noexcept;
  void set_rdtr(uint32_t value, uint64_t now_ns) noexcept;
  void set_radv(uint32_t value) noexcept { radv_ = value & 0xffff; }
  void set_tidv(uint32_t value) noexcept { tidv_ = value & 0xffff; }
  void set_tadv(uint32_t value) noexcept { tadv_ = value & 0xffff; }
  [[nodiscard]] uint32_t itr() const noexcept { return itr_; }
  [[nodiscard]] uint32_t rdtr() const noexcept { return rdtr_; }
  [[nodiscard]] uint32_t radv() const noexcept { return radv_; }
  [[nodiscard]] uint32_t tidv() const noexcept { return tidv_; }
  [[nodiscard]] uint32_t tadv() const noexcept { return tadv_; }

  // --- What happens
  void raise(uint32_t causes, uint64_t now_ns) noexcept;
  // Packets were received: RXT0, at once or by the timers.
  void received(uint64_t now_ns) noexcept;
  // Descriptors with RS were done.
  void transmitted(bool delayed, uint64_t now_ns) noexcept;

  // --- Out
  void advance(uint64_t now_ns) noexcept;
  [[nodiscard]] uint64_t deadline_ns() const noexcept;
  // The level of INTA#.
  [[nodiscard]] bool line() const noexcept { return line_; }
  // With vectors the line stays down; data causes clear themselves when vector 1 is signalled.
  void use_vectors(bool on, uint64_t now_ns) noexcept;
  [[nodiscard]] uint32_t take_vectors() noexcept;
  // Times that the line went up, and vectors.
  [[nodiscard]] uint64_t raised() const noexcept { return raised_; }

 private:
  void update(uint64_t now_ns) noexcept;
  [[nodiscard]] uint64_t throttle_ns() const noexcept;

  const bool mitigation_;
  const uint16_t least_itr_;
  uint32_t icr_ = 0, ims_ = 0;
  uint32_t itr_ = 0, rdtr_ = 0, radv_ = 0, tidv_ = 0, tadv_ = 0;
  bool line_ = false;
  bool vectors_ = false;
  uint32_t to_signal_ = 0;
  uint64_t free_ns_ = 0;  // when ITR lets the next interrupt out
  // When the timers end; kNever: they do not run.
  uint64_t rx_packet_ns_ = kNever, rx_absolute_ns_ = kNever, tx_packet_ns_ = kNever, tx_absolute_ns_ = kNever,
           throttled_ns_ = kNever;
  uint64_t raised_ = 0;
};

}  // namespace unetmap::e1000
