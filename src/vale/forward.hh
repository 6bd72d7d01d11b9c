// SPDX-License-Identifier: BSD-2-Clause
// VALE's forwarding, run by the sender in its own sync: read the slots, learn, look up, group by destination, copy,
// deliver. Also used by whoever forwards for a port that has no process of its own.
//
// No system calls, no allocation in steady state: what needs the world outside is asked of the Outside interface.
// A window of slots is handled in three steps: classify (each slot loaded once and checked, packets gathered in runs
// of equal destination), reserve (room at lossless destinations; what does not fit ends the window), deliver.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <vector>

#include "net/netmap.h"
#include "ring/probes.hh"
#include "ring/tap_record.hh"
#include "vale/exchange.hh"
#include "vale/fdb.hh"
#include "vale/fence.hh"
#include "vale/rules/port_rules.hh"

namespace unetmap::vale {

// A port that this process can deliver to. Fields come from the daemon, and are trusted.
struct Dest {
  uint32_t generation = 0;
  uint16_t port = kNoPort;
  uint32_t buf_size = 0;    // bytes
  uint8_t* bufs = nullptr;  // buffer 0 of its region, mapped
  bool takes_buffers = false;  // a zero-copy monitor
  bool exchanges = false;      // kPortExchanges
  std::vector<Exchange> rings;
  // A full destination is offered the processor before its packets are dropped, less often the less that helped.
  uint32_t relief_skip = 0, relief_backoff = 0;
};

class Outside {
 public:
  // The destination for `port` of `generation`, mapping it if that was never done; nullptr if it is gone.
  virtual Dest* resolve(uint16_t port, uint32_t generation) = 0;
  // Wakes the readers of `ring`, one of the rings of `dest`.
  virtual void wake(RxExchange& ring, Dest& dest) = 0;
  // Lets others run for a moment because `dest` is full. `empty_handed`: we have no cells of anybody.
  virtual void relieve(Dest& dest, const Exchange& ex, bool empty_handed) = 0;
  // Copies from an address that the application named; false if that cannot be read.
  virtual bool read_user(uint64_t address, uint8_t* to, uint32_t len) = 0;
  // Of a clock that never goes back; asked for ports with a rate only.
  virtual uint64_t now_ns() = 0;

 protected:
  ~Outside() = default;
};

// A ring to forward from. Slots are the application's and foreign; everything else is trusted.
struct TxView {
  netmap_slot* slots = nullptr;
  uint64_t slots_at = 0;  // where they are in the region's private memory
  uint32_t num_slots = 0;
  uint32_t buf_size = 0;  // bytes
  uint32_t nbufs = 0;
  uint8_t* bufs = nullptr;
  uint64_t offset_mask = 0;
  TxKring* kring = nullptr;
  uint16_t ring_id = 0;
  bool exchanges = false;  // the port has kPortExchanges: by what the daemon says
};

struct Forwarded {
  uint32_t hwcur = 0;       // slots before this are done
  Dest* blocked = nullptr;  // set when a lossless destination has no room for the packet at hwcur
  uint32_t blocked_ring = 0;
};

class Forwarder {
 public:
  // `name`: of the port, for who looks on; it outlives this.
  Forwarder(SwitchShared* shared, uint16_t self, uint32_t generation, Outside& outside, const char* name = "");

  // Forwards the packets in [hwcur, head), both below num_slots.
  // `cpu`: where this runs, + 1; left at the destinations as a hint for their spinning.
  Forwarded forward(const TxView& tx, uint32_t hwcur, uint32_t head, uint32_t now_s, uint32_t cpu);

  // Delivers copies of the packets in [from, to) of `view`, of either direction, to port `monitor` alone. `sent`: they
  // were seen leaving. What does not fit is lost, whole packets, and counted at the monitor.
  void copy_to_monitor(const TxView& view, uint32_t from, uint32_t to, uint16_t monitor, bool sent);
  // As above, but the slots and the monitor exchange buffers where they are in one region: for packets that nobody
  // needs any more.
  void exchange_with_monitor(const TxView& view, uint32_t from, uint32_t to, uint16_t monitor, bool sent);

 private:
  static constexpr uint32_t kWindow = 256;  // fragments looked at before anything is delivered: what stays in L1
  static constexpr uint32_t kMaxFrags = 64;  // of a packet
  static constexpr uint32_t kScratchBytes = 256 * 1024;
  static constexpr uint16_t kFlood = 0xfffe, kDiscard = 0xfffd, kUnreadable = 0xfffc, kNoRun = 0xffff;
  static constexpr uint16_t kSpoofed = 0xfffb, kTooFast = 0xfffa, kIsolated = 0xfff9;
  static constexpr uint16_t kWrongVlan = 0xfff8, kDenied = 0xfff7, kStopped = 0xfff6;
  // A destination that is none: the packet is lost.
  static bool refused(uint16_t dest) { return dest >= kStopped && dest <= kDiscard; }

  // A fragment, loaded from its slot once and checked: `src` is a byte offset in the region.
  struct Frag {
    uint32_t src;
    uint16_t len;
    uint16_t flags;
  };
  // From a slot's first half, by one store.
  static void put_frag(Frag& to, uint64_t half, uint32_t src) {
    static_assert(sizeof(Frag) == sizeof half && offsetof(Frag, len) == 4 && offsetof(Frag, flags) == 6);
    half = (half & ~uint64_t{UINT32_MAX}) | src;
    memcpy(&to, &half, sizeof half);
  }
  // Consecutive fragments with one destination: single-slot packets, or one packet of several slots.
  struct Run {
    uint16_t first, count;  // in frag_
    uint16_t dest;          // port index, kFlood, kDiscard
    uint16_t next;          // next run of the same destination, kNoRun at the end
    bool chain;             // one packet of `count` slots
    uint16_t form;          // VlanForm; 0 where the switch has no rules
  };
  struct Group {
    uint16_t port;
    uint16_t first, last;  // runs
  };
  // Cells reserved at a lossless destination before anything is delivered.
  struct Reservation {
    uint16_t port;
    uint32_t at, count;  // in reserved_
  };
  // Of the packet that a window begins with: what a lossless destination has had of its segments, where there are more
  // than it can hold.
  struct Parts {
    uint16_t port;
    uint32_t generation;
    uint32_t seed;  // of its fragments
    size_t done;    // segments
  };
  // What one destination gets of a mixed window: part of together_ and order_, which have so many entries.
  static constexpr uint32_t kEntries = 12 * kWindow;
  struct Lot {
    Dest* dest;
    uint32_t first, count;
  };
  struct Supply;  // cells for one group, and the chain under construction
  class MergedRuns;

  template <bool kTapped, bool kRuled>
  uint32_t classify(const TxView& tx, uint32_t hwcur, uint32_t head, uint32_t now_s);
  template <class High>
  uint32_t take_alike(const TxView& tx, uint32_t at, uint32_t most, uint32_t shortest, uint32_t frags, uint64_t low,
                      High high, uint64_t& bytes);
  bool peek_address(const TxView& tx, uint32_t at, uint64_t& to) const;
  void ask_for_entries(const TxView& tx, uint32_t at) const;
  void refuse_slots(const TxView& tx, bool good, uint32_t slots, uint64_t bytes);
  // The addresses that a packet begins with, and where it goes; kDiscard: as nobody knows.
  struct Alike {
    uint64_t low = 0;
    uint32_t high = 0;
    uint16_t dest = kDiscard;
  };
  uint32_t classify_chain(const TxView& tx, uint32_t at, uint32_t avail, uint32_t now_s, Alike* last);
  bool begins_plain(const TxView& tx, const Frag& frag, Alike& to) const;
  uint16_t judge(const TxView& tx, uint32_t first, uint32_t count);
  uint16_t decide(const TxView& tx, uint32_t first, uint32_t count, uint32_t now_s);
  bool check(const TxView& tx, const netmap_slot& slot, Frag& frag) const;
  void add_run(uint32_t first, uint32_t count, uint16_t dest, bool chain, uint16_t form = 0);
  static void count(std::atomic<uint64_t>& counter, uint64_t more) {
    counter.store(counter.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
  }
  void drop(std::atomic<uint64_t>& counter, uint16_t dest, TapCause cause, uint64_t packets = 1) const {
    count(counter, packets);
    probe::drop(name_, self_, dest, cause, packets);
  }
  static TapCause cause_of(uint16_t refused);
  Group* find_group(uint16_t port);
  void group_runs();
  Dest* current(uint16_t port);
  uint16_t header_len_of(uint16_t port) const;
  uint32_t group_of(uint16_t port) const { return shared_->port[port].group.load(std::memory_order_relaxed); }
  uint32_t flags_of(uint16_t port) const { return shared_->port[port].flags.load(std::memory_order_relaxed); }
  template <class F>
  void each_destination(F&& f);
  uint32_t reserve_lossless(const TxView& tx, uint32_t limit, Forwarded& out);
  uint32_t reserve_plain(const TxView& tx, Dest& dest, MergedRuns runs, uint32_t limit, Forwarded& out);
  uint32_t reserve_at(const TxView& tx, Dest& dest, MergedRuns runs, uint32_t limit, Forwarded& out);
  static uint32_t room_in_cell(const Dest& dest);
  uint32_t cells_of_packet(const TxView& tx, const Dest& dest, uint32_t first, uint32_t count, TagChange change = {});
  void wake_readers();
  void report_spoiled(Dest& dest, const Exchange& ex);
  void lose_gone(const TxView& tx, uint16_t port, MergedRuns runs, uint32_t limit) const;
  void count_discarded(const TxView& tx, uint32_t limit) const;
  void deliver(const TxView& tx, Dest& dest, MergedRuns runs, uint32_t limit);
  // --- frames to many addresses: mixed.cc ---
  bool begins_mixed(const TxView& tx, uint32_t at, uint32_t avail) const;
  uint32_t load_mixed(const TxView& tx, uint32_t at, uint32_t n, uint32_t taken, uint32_t now_s, uint64_t* to);
  uint32_t take_mixed(const TxView& tx, uint32_t at, uint32_t most, uint32_t now_s, uint64_t& bytes);
  void make_runs();
  bool one_cell_each(const TxView& tx, const Dest& dest, const Exchange& ex) const;
  bool takes_as_they_are(const TxView& tx, const Dest& dest) const;
  uint32_t lot_for(const TxView& tx, uint16_t port);
  bool sort_mixed(const TxView& tx);
  uint32_t before(const Lot& lot, uint32_t limit) const;
  uint32_t reserve_mixed(const TxView& tx, uint32_t limit, Forwarded& out);
  void deliver_mixed(const TxView& tx, uint32_t limit);
  uint32_t copy_singles(const TxView& tx, Supply& supply, const Frag* frags, uint32_t n);
  uint32_t copy_stretch(const TxView& tx, Supply& supply, const Frag* frag, uint32_t cell, uint32_t n);
  uint32_t copy_singles_at_offsets(const TxView& tx, Supply& supply, const Frag* frags, uint32_t n);
  void deliver_singles(const TxView& tx, Supply& supply, const Frag* frags, uint32_t n, bool swap = false);
  void deliver_chain(const TxView& tx, Supply& supply, const Run& run);
  void deliver_converted(const TxView& tx, Supply& supply, uint32_t first, uint32_t count, TagChange change = {});
  bool deliver_in_parts(const TxView& tx, Dest& dest, uint32_t count, Forwarded& out);
  bool has_all_parts(const Dest& dest) const;
  void deliver_split(const uint8_t* bytes, uint32_t len, Supply& supply);
  uint32_t load_packet(const TxView& view, uint32_t at, uint32_t to, bool& good);
  void deliver_loaded(const TxView& view, Supply& supply);
  // --- buffers that change hands: swap.cc ---
  bool may_exchange(const TxView& tx, const Dest& dest, const Exchange& ex) const;
  uint32_t slot_of(const TxView& tx, uint32_t frag) const {
    const uint32_t at = window_at_ + frag;
    return at < tx.num_slots ? at : at - tx.num_slots;
  }
  bool note_pieces(uint32_t first, uint32_t count);
  bool swap_pieces(const TxView& view, Supply& supply, uint32_t first, uint32_t at, uint32_t count);
  void swap_packet(const TxView& view, Supply& supply, uint32_t first, uint32_t at, uint32_t count);
  void swap_chains(const TxView& tx, Supply& supply, uint32_t first, uint32_t count);
  uint32_t swap_singles(const TxView& tx, Supply& supply, uint32_t first, uint32_t n);
  template <bool kPieces>
  uint32_t swap_stretch(const TxView& view, Supply& supply, uint32_t first, uint32_t at, uint32_t cell, uint32_t n);
  bool watched(uint16_t port) const;
  bool watches(uint16_t monitor, uint16_t port) const;
  void show_arrivals(const Supply& arrived);
  void show_leaving(const TxView& tx, uint32_t from, uint32_t to);
  void need_copier();
  void copy_arrivals(const Supply& arrived, uint16_t monitor);
  uint32_t gather(const TxView& tx, uint32_t first, uint32_t count, uint32_t at = 0);
  // --- rules: forward_rules.cc ---
  struct Beginning;  // of a frame
  void begin_rules();
  uint16_t decide_by_rules(const TxView& tx, uint32_t first, uint32_t count, uint32_t now_s);
  uint16_t look_up_by_rules(const Beginning& frame, uint64_t to, uint16_t override_port, uint32_t now_s);
  Beginning beginning_of(const TxView& tx, uint32_t first, uint32_t count, uint8_t* copied);
  static bool list_allows(Acl& list, const Beginning& frame, TagChange change);
  uint16_t judge_single(const TxView& tx, uint32_t at, uint16_t dest);
  uint32_t take_covered(const TxView& tx, uint32_t at, uint32_t most, uint32_t frags, uint64_t low, uint64_t high,
                        uint64_t& bytes);
  void note_verdict(const TxView& tx, const Acl* theirs, TagChange change);
  void note_denied(const Beginning& frame, uint64_t to);
  bool floods_to(uint16_t port, const Run& run);
  TagChange change_for(const Run& run, uint16_t port) {
    return ruled_ ? rules_->of(port).vlan.change(run.form) : TagChange{};
  }
  std::span<uint8_t> gather_changed(const TxView& tx, uint32_t first, uint32_t count, TagChange change);
  void deliver_changed(const TxView& tx, Supply& supply, const Run& run, uint32_t end, TagChange change);
  template <uint32_t kBefore, int kBy>
  uint32_t copy_changed(const TxView& tx, Supply& supply, uint32_t from, uint32_t cell, uint32_t n, TagChange change);
  uint32_t copy_changed(const TxView& tx, Supply& supply, uint32_t from, uint32_t n, TagChange change);
  bool begin_tap();
  uint16_t tap_port() const;
  void deliver_tapped(const TxView& tx, uint32_t limit, const Forwarded& out);
  void note_dest(uint16_t port, TapCause cause);
  void note_way();
  void tell_tap(const TxView& tx);

  SwitchShared* shared_;
  Fdb fdb_;
  const uint16_t self_;
  const uint32_t generation_;
  Outside& outside_;
  const char* const name_;
  uint16_t header_len_ = 0;  // the sender's, read once a call
  uint32_t group_ = 0;       // the sender's, likewise
  bool fenced_ = false;
  Fence fence_;
  // While the switch has rules.
  bool ruled_ = false;         // read once a call
  bool lists_ = false;         // some destination may have an access list for what leaves, or stop link-local frames
  bool listed_ = false;        // the last packet was subject to an access list: each one like it is looked at again
  bool covered_ = false;       // its verdict holds for those that known_ covers
  Acl::Known known_;
  std::unique_ptr<RulesOfPorts> rules_;
  PortRules* own_rules_ = nullptr;
  uint16_t form_ = 0;          // VlanForm that decide_by_rules() found
  // Packets for everybody that some port shall not get, as a run of their own each: its number, and the port.
  struct Denied {
    uint16_t run, port;
    uint16_t why;
  };
  std::vector<Denied> denied_;
  uint32_t cpu_ = 0;
  uint64_t learned_ = 0;  // the address that this call learned last

  std::unique_ptr<Frag[]> frag_;
  uint8_t pieces_[kWindow];           // of packets that change buffers: how many of its pieces are left, by fragment
  std::unique_ptr<Frag[]> together_;  // of short runs for one destination, or of all in a mixed window
  std::unique_ptr<uint64_t[]> address_;  // of fragments with NS_INDIRECT
  std::unique_ptr<Run[]> run_;
  uint32_t frags_ = 0, runs_ = 0;
  uint64_t bytes_ = 0, packets_ = 0;  // of the window
  uint32_t chain_frags_ = 0;          // fragments of packets of several slots
  uint32_t skipped_ = 0;  // slots of refused packets before frag_[0]
  uint32_t window_at_ = 0;  // the slot of frag_[0]; each fragment has the one behind the last
  // A window of frames of one slot each to many ports, none of them special: there are no runs, but lots.
  bool mixed_ = false;
  std::unique_ptr<uint16_t[]> port_of_, lot_of_;  // by fragment
  std::unique_ptr<uint16_t[]> order_;             // of each in together_: which fragment it is
  std::vector<Lot> lots_;                         // as groups_
  std::vector<uint16_t> everybody_;               // which of them get what is for everybody
  uint16_t flood_first_ = kNoRun, flood_last_ = kNoRun;
  std::vector<Group> groups_;
  std::unique_ptr<uint16_t[]> group_index_;  // by port; meant where groups_[i].port agrees
  std::unique_ptr<uint32_t[]> cells_;
  std::vector<std::pair<RxExchange*, Dest*>> to_wake_;
  std::vector<Reservation> reservations_;
  std::vector<uint32_t> reserved_;
  std::vector<Parts> parts_;
  uint32_t parts_at_ = 0;  // the slot that parts_ is about
  std::unique_ptr<uint8_t[]> scratch_, piece_;
  uint32_t fragment_seed_ = 0;
  // While the switch has a tap: the record in the making.
  struct Told {
    TapHead head;
    TapDest dest[kTapListed];
    uint32_t frags = 0;     // of the packet, those that can be read
    uint32_t waits_at = 0;  // slot + 1 of a packet that is known to wait
  };
  std::unique_ptr<Told> told_;
  bool tapped_ = false;                     // read once a call
  TapCause cause_ = TapCause::kDelivered;  // of the last loss
  // Shows what leaves this port and what arrives at a watched one, in the middle of a delivery. Made when first needed.
  std::unique_ptr<Forwarder> copier_;
};

}  // namespace unetmap::vale
