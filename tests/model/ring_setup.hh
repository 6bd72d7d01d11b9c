// SPDX-License-Identifier: BSD-2-Clause
// One receive ring of a switch port with what is around it, for scenarios: senders, the receiver with its application, the daemon.
#pragma once

#include <array>
#include <memory>
#include <set>
#include <vector>

#include "engine.hh"
#include "ring/sync_mark.hh"
#include "vale/receive.hh"

namespace unetmap::model {

constexpr uint32_t kSenders = 3;
constexpr uint16_t kLength = 60;

class RingSetup {
 public:
  explicit RingSetup(uint32_t cells);
  ~RingSetup();

  // --- senders, of ports 0, 1, 2. What deliver.cc does for one destination, in as many chains as `packets` has numbers ---
  // Returns how many packets went; wakes by `bell` who sleeps.
  uint32_t send(uint32_t sender, uint32_t packets, Bell* bell = nullptr);
  uint32_t pushed(uint32_t sender) const { return next_[sender]; }

  // --- the receiver: a process with an object of its own each ---
  struct Process {
    RingSetup& setup;
    vale::Receiver receiver;
    explicit Process(RingSetup& setup) : setup(setup), receiver(setup.shared, setup.view()) {}
    // rxsync of an application that reads what arrived and is done with all of it by the next one; true if cells became free.
    bool sync(bool give_up = false);
    bool resetting() const { return receiver.resetting() || receiver.reset_wanted(); }
    // Somebody died in a sync, under the ring's lock.
    void take_over() { receiver.recover(setup.kring.hwcur.load(Order::relaxed), setup.kring.hwtail.load(Order::relaxed)); }
  };
  uint32_t received(uint32_t sender) const { return got_[sender]; }
  bool swaps_buffers = false;  // the application puts a spare buffer into each slot that it gives back
  bool loses = false;          // packets in a receiver's hands go with it

  // --- the daemon ---
  void ask_for_audit();
  void forget_port(uint32_t sender);

  // At the end: once more a receiver comes, nobody else is there, and each cell and each buffer is in one place.
  void check_whole();
  // And all that was sent has come.
  void check_all_came();

  vale::Exchange exchange() const { return {exchange_memory_, shape()}; }
  SwitchShared* shared;
  RxKring kring{};
  uint32_t head = 0;  // the application's

 private:
  vale::ExchangeShape shape() const { return {cells_, 2, nbufs(), 2048, false}; }
  uint32_t nbufs() const { return 2 + cells_ + 2; }
  vale::RxView view();
  void read_slot(uint32_t at);

  const uint32_t cells_;
  void* exchange_memory_;
  std::vector<netmap_slot> slots_;
  std::unique_ptr<Atomic<uint32_t>[]> cell_of_, own_, payload_;
  std::vector<uint32_t> spare_;
  std::array<uint32_t, kSenders> next_{}, got_{};
};

}  // namespace unetmap::model
