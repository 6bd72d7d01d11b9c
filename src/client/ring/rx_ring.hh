// SPDX-License-Identifier: BSD-2-Clause
// One receive ring of a bound descriptor: what all kinds have in common. A kind says how packets come (switch/rx.hh,
// pipe/rx.hh, interface/rx.hh, null_rings.hh): one virtual call a sync.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "client/port/observer.hh"
#include "client/port/port.hh"
#include "client/ring/indexes.hh"
#include "net/netmap.h"

namespace unetmap::client {

class RxRing {
 public:
  virtual ~RxRing() = default;
  RxRing(const RxRing&) = delete;
  RxRing& operator=(const RxRing&) = delete;

  netmap_ring* ring() const { return ring_; }
  uint32_t index() const { return index_; }
  // NIOCRXSYNC for this ring: 0, or an errno value.
  int sync();
  bool ready() const;
  virtual WaitList& readers() { return kring_->readers; }
  // Its reader goes to sleep.
  void note_sleep();
  virtual bool something_likely() const;
  // What a gone sender may have spoiled is being put right: that ends by syncs alone.
  virtual bool resetting() const { return false; }
  // All who wait for room, before the reader sleeps; or one, who passes on what it leaves.
  void wake_writers();
  void wake_writer();
  // Where this ring's reader runs, and who else has to do with it: processor number + 1, 0 if unknown.
  virtual void note_cpu(uint32_t cpu);
  virtual uint32_t peer_cpu() const { return kring_->sender_cpu.load(std::memory_order_relaxed); }
  // Changes whenever something was received.
  uint64_t tail_count() const { return tail_count_; }
  const CsbEntry& csb() const { return csb_; }
  void use_csb(const CsbEntry& entry) { csb_ = entry; }
  // hwtail as it was shown last: the other end of a pipe moves it any time. On entering CSB mode, as it is shown now.
  ServiceIndexes indexes() const { return {kring_->hwcur.load(std::memory_order_relaxed), shown_}; }
  ServiceIndexes indexes_now() {
    shown_ = kring_->hwtail.load(std::memory_order_acquire);
    return indexes();
  }
  uint32_t head() const { return head_; }
  uint32_t num_slots() const { return num_slots_; }
  // Packets for it that were lost, as there was no room or they were no packets.
  virtual uint64_t missed() const { return 0; }
  // Whoever sends to it keeps what does not fit, and waits.
  virtual bool senders_wait() const { return true; }

 protected:
  RxRing(Port& port, uint32_t index);

  // Gives [at.hwcur, head) back, takes what has come, moves `at`, and returns 0; or an errno value, and the application
  // is shown nothing. Called with the ring's lock. `recover`: who held that before died in the middle of it.
  virtual int receive(ServiceIndexes& at, uint32_t head, bool recover) = 0;
  // Those who wait for room in it.
  virtual WaitList& writers() { return kring_->writers; }

  virtual void count_sleep() {}
  // When its readers were last woken, as a sender says (CLOCK_REALTIME); 0 where senders do not.
  virtual uint64_t rung_ns() const { return 0; }

  // Shows the application where the service is.
  void publish(const ServiceIndexes& at);
  int reinit();
  void observe(uint32_t from, uint32_t to, Moment moment);
  // Whether who sends to it last ran on another processor than this.
  bool peer_elsewhere() const;

  Port& port_;
  netmap_ring* ring_;
  RxKring* kring_;
  uint32_t num_slots_;
  uint32_t shown_ = 0;
  CsbEntry csb_;
  uint32_t head_ = 0;
  int refusal_ = 0;  // an errno value: nothing comes by it, for as long as that stands here

 private:
  uint64_t came_ns();

  const uint32_t index_;
  std::atomic<uint64_t> asleep_from_ns_{0};  // when its reader last went to sleep; 0: what came since was shown
  uint64_t tail_count_ = 0;
  std::unique_ptr<Observer> observer_;
};

}  // namespace unetmap::client
