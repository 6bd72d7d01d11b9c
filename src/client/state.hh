// SPDX-License-Identifier: BSD-2-Clause
// This process's state: mappings, wake-ups, bound descriptors. Internal to src/client.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/fd.hh"
#include "base/result.hh"
#include "client/descriptor/csb.hh"
#include "client/descriptor/calls.hh"
#include "client/nic/sockets.hh"
#include "mem/memfd.hh"
#include "net/netmap.h"
#include "vale/forward.hh"
#include "vale/receive.hh"
#include "wire/messages.hh"

namespace unetmap::client {

// One region's memory as mapped here. Shared by all that need it; `privates` only once a port of it is ours.
struct RegionMap {
  ~RegionMap();
  wire::RegionInfo info{};
  mem::Mapping privates, exchange;
  UniqueFd private_fd, exchange_fd;  // kept for the application's own mmap
  uint8_t* bufs() const { return exchange.data() + info.exchange_bytes + info.buf_headroom; }
  // Called when a port of the region is busy; `buffers`: how many from the first on are in use. Acts once.
  void note_busy(uint32_t buffers) {
    if (busy.exchange(true, std::memory_order_relaxed)) return;
    exchange.use_huge_pages(info.exchange_bytes + uint64_t{buffers} * info.buf_size);
  }
  std::atomic<bool> busy{false};
};
struct SwitchMap {
  mem::Mapping memory;
  SwitchShared* shared() const { return reinterpret_cast<SwitchShared*>(memory.data()); }
};

// Mapped once a process and memfd. `private_fd` may be -1.
Result<std::shared_ptr<RegionMap>> map_region(const wire::RegionInfo& info, int private_fd, int exchange_fd);
Result<std::shared_ptr<SwitchMap>> map_switch(int fd);

// --- wake-ups: ring/wait_list.hh ---
// Rings for everyone on the list; `connection` and `port` serve to ask the daemon where a doorbell is unknown.
void wake_waiters(WaitList& list, int connection, const wire::ResolveRequest& port);
void forget_doorbells();

// --- bound descriptors ---
class Bound;

// The ports that one ring delivers to, as mapped here; what its Forwarder needs of the world.
class Destinations final : public vale::Outside {
 public:
  explicit Destinations(Bound& bound) : bound_(bound) {}
  ~Destinations();
  // Unmaps what is gone, if ports came or went since the last call. `kept`: a destination that the caller remembers,
  // set to nullptr if it is among those.
  void refresh(vale::Dest*& kept);
  // After each sync that sent something: regions between which much goes are put on huge pages.
  void note_sync();

  vale::Dest* resolve(uint16_t port, uint32_t generation) override;
  void wake(WaitList& list, vale::Dest& dest) override;
  void relieve(vale::Dest& dest, const vale::Exchange& ex, bool empty_handed) override;
  // Around each time that cells may be in our hands: marks `seq` (PortEntry::tx_seq) odd in between.
  void enter(std::atomic<uint32_t>& seq);
  void leave();
  bool read_user(uint64_t address, uint8_t* to, uint32_t len) override;
  uint64_t now_ns() override;

 private:
  struct Target {
    vale::Dest dest;
    std::shared_ptr<RegionMap> region;
    uint32_t buffers = 0;  // of its region that its rings began with
  };
  Result<std::unique_ptr<Target>> map_target(uint16_t port, uint32_t generation);

  Bound& bound_;
  std::vector<std::unique_ptr<Target>> targets_;  // by port
  std::vector<uint16_t> mapped_;
  std::vector<std::pair<uint16_t, uint32_t>> refused_;  // port, generation: asked for and not to be had
  uint32_t topology_ = 0;
  uint32_t syncs_ = 0;
  std::atomic<uint32_t>* seq_ = nullptr;
  UniqueFd relief_;  // epoll instance with the doorbell, made at its first use
};

// When monitors are shown packets of a ring.
enum class Moment {
  kSent,      // their slots are done with, and still name them
  kPassedOn,  // sent, but their buffers have gone to the other end of a pipe
  kArrived,
  kReleased,  // the application gave their slots back
};

// True if anybody watches this port.
bool monitored(const PortEntry* entry);

// Shows the packets in [from, to) of a ring to the monitors of its port. Copies are made when packets pass; a zero-copy
// monitor gets the buffers once the application is done with them, if no other did.
void show_to_monitors(Bound& bound, const PortEntry& watched, vale::Forwarder& forwarder, const vale::TxView& view,
                      uint32_t from, uint32_t to, Moment moment);

// Shows packets of a ring that forwards nothing itself: receive rings, pipes. Made when first needed.
class Observer {
 public:
  Observer(Bound& bound, uint32_t ring, bool rx);
  // Of the other end of a pipe, by whoever syncs transmit ring `ring` of this one.
  Observer(Bound& bound, uint32_t ring, bool rx, const wire::PortInfo& watched);
  void show(netmap_slot* slots, uint32_t num_slots, uint32_t from, uint32_t to, Moment moment);

 private:
  Bound& bound_;
  const PortEntry& watched_;
  std::atomic<uint32_t>& seq_;
  TxKring unused_counters_{};
  Destinations destinations_;
  vale::Forwarder forwarder_;
  vale::TxView view_;
};

// Where the service is in a ring.
struct ServiceIndexes {
  uint32_t hwcur, hwtail;
};

// True if `x` is in the cyclic range [from, to], both included.
inline bool in_range(uint32_t x, uint32_t from, uint32_t to) {
  return from <= to ? from <= x && x <= to : from <= x || x <= to;
}

// One transmit ring of a bound descriptor.
class TxRing {
 public:
  TxRing(Bound& bound, uint32_t index);

  netmap_ring* ring() const { return ring_; }
  uint32_t index() const { return index_; }
  // NIOCTXSYNC for this ring: 0, or an errno value.
  int sync();
  // True if a sync would find nothing to send and nothing to tell.
  bool idle() const;
  bool ready() const;
  // True if slots were handed over that could not go yet.
  bool pending() const;
  // The list to sleep on until the ring may have room again, nullptr if it never lacks any.
  WaitList* writers();
  bool room_likely() const;
  uint32_t peer_cpu() const;
  uint64_t completed() const {
    return (nic_here_ || peer_kring_ ? kring_->hwtail : kring_->hwcur).load(std::memory_order_relaxed);
  }
  // Of a pipe: slots that were sent are still with the reader, who will tell when they are not.
  bool awaits_release() const;
  // From now on there is no interface to send to.
  void close_nic();
  // Sends a frame that is not the application's.
  bool pass_on(std::span<const uint8_t> frame);
  const CsbEntry& csb() const { return csb_; }
  void use_csb(const CsbEntry& entry) { csb_ = entry; }
  ServiceIndexes indexes_now() const { return indexes(); }
  ServiceIndexes indexes() const {
    return {kring_->hwcur.load(std::memory_order_relaxed), kring_->hwtail.load(std::memory_order_relaxed)};
  }
  // The head that the last sync went by.
  uint32_t head() const { return head_; }
  // Packets in it that nobody has taken.
  uint32_t unsent() const;

 private:
  uint32_t forward(uint32_t hwcur, uint32_t head);
  bool waits_for_room() const;
  int sync_nic(uint32_t hwcur, uint32_t hwtail, uint32_t head, bool recover);
  uint32_t show_to_peer(uint32_t hwcur, uint32_t head);
  void show_to_watchers(uint32_t from, uint32_t to);
  uint32_t released_tail(uint32_t hwcur, uint32_t hwtail) const;
  int reinit();

  Bound& bound_;
  const uint32_t index_;
  netmap_ring* ring_;
  vale::TxView view_;
  TxKring* kring_;
  Destinations destinations_;
  std::unique_ptr<vale::Forwarder> forwarder_;
  vale::Dest* blocked_ = nullptr;
  uint32_t blocked_ring_ = 0;
  // Pipes: the other end's receive ring, same region and of as many slots.
  netmap_slot* peer_slots_ = nullptr;
  RxKring* peer_kring_ = nullptr;
  CsbEntry csb_;
  uint32_t head_ = 0;
  std::unique_ptr<Observer> observer_;       // of a pipe or interface
  std::unique_ptr<Observer> peer_observer_;  // of a pipe: for those who watch its other end
  std::unique_ptr<NicTx> nic_;               // of an interface, until that is closed
  bool nic_here_ = false;                    // even then
  const bool inert_;                         // of a monitor: nothing goes out by it
};

class RxRing {
 public:
  RxRing(Bound& bound, uint32_t index);

  netmap_ring* ring() const { return ring_; }
  uint32_t index() const { return index_; }
  int sync();
  bool ready() const;
  WaitList& readers();
  void count_sleep();
  bool something_likely() const;
  bool resetting() const { return receiver_ && (receiver_->resetting() || receiver_->reset_wanted()); }
  uint32_t peer_cpu() const;
  // Before the reader sleeps: whoever waits for room gets to run now.
  void wake_writers();
  // Where this ring's reader runs, and who else has to do with it: processor number + 1, 0 if unknown.
  void note_cpu(uint32_t cpu);
  bool peer_elsewhere() const;
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
  void close_nic();
  // Packets for it that were lost, as there was no room or they were no packets.
  uint64_t missed() const;
  // The other end of a pipe keeps what does not fit here, and waits.
  bool of_pipe() const { return !receiver_; }

 private:
  void step_reset(uint32_t& hwtail, uint32_t hwcur);
  int sync_nic(uint32_t hwcur, uint32_t hwtail, uint32_t head, bool recover);
  std::span<const uint8_t> released_frame(uint32_t at, uint32_t head, std::vector<uint8_t>& gathered,
                                          uint32_t& slots) const;
  void forward_released(uint32_t hwcur, uint32_t head);
  void release_to_peer(uint32_t hwcur, uint32_t head);
  void observe(uint32_t from, uint32_t to, Moment moment);
  // The hwtail that the application was shown last.
  uint32_t shown() const { return csb_.ktoa ? shown_ : __atomic_load_n(&ring_->tail, __ATOMIC_RELAXED); }
  int reinit();

  Bound& bound_;
  const uint32_t index_;
  netmap_ring* ring_;
  uint32_t num_slots_;
  RxKring* kring_;
  netmap_slot* peer_slots_ = nullptr;  // of a pipe: the other end's transmit ring
  std::unique_ptr<vale::Receiver> receiver_;
  uint64_t tail_count_ = 0;
  uint32_t shown_ = 0;
  uint64_t reset_since_ms_ = 0;
  CsbEntry csb_;
  uint32_t head_ = 0;
  std::unique_ptr<Observer> observer_;
  std::unique_ptr<NicRx> nic_;  // of an interface, until that is closed
  NicState* nic_state_ = nullptr;
};

// What a registered descriptor is bound to. Made once, never changed.
class Bound {
 public:
  static Result<std::unique_ptr<Bound>> make(Descriptor& owner, const wire::BindInfo& info, std::vector<UniqueFd>& fds);
  ~Bound();

  Descriptor& owner;
  wire::BindInfo info;
  std::shared_ptr<RegionMap> region;
  std::shared_ptr<SwitchMap> sw;
  UniqueFd doorbell;
  std::unique_ptr<NicSockets> nic;  // of an interface
  std::vector<std::unique_ptr<TxRing>> tx;  // the bound ones
  std::vector<std::unique_ptr<RxRing>> rx;
  std::atomic<uint32_t> spin_ns{0}, spin_failures{0};
  // Waits without a yield: after the last one that brought nothing; still to come; until then.
  std::atomic<uint32_t> yield_pause{0}, yields_skipped{0};
  std::atomic<uint64_t> no_yield_before_ns{0};
  // CSB mode: see descriptor/csb.hh, kloop/kloop.hh.
  std::mutex csb_mutex;
  bool csb_here = false;            // with blocks in this process
  std::atomic<int> kloop_pid{0};    // the process in which a kloop runs, if it is this one; a forked child has another id

  // What a waiter sleeps on: the doorbell, or where a kernel's sockets ring too.
  int bell() const { return nic ? nic->bell() : doorbell.get(); }
  // True if the interface behind it is gone or changed; says so once.
  bool failed();
  // The program has closed the descriptor: the kernel may let go of the interface although this object lives on.
  void close_nic();
  // The program closes it: what its tx rings still hold is counted, and told where errors are.
  void note_abandoned();

  netmap_ring* ring_at(uint64_t ofs) const { return reinterpret_cast<netmap_ring*>(region->privates.data() + ofs); }
  PortEntry* port_entry() const { return entry_of(info.port); }
  // Of a pipe's other end.
  PortEntry* peer_entry() const { return info.peer.rx_rings > 0 ? entry_of(info.peer) : nullptr; }

 private:
  PortEntry* entry_of(const wire::PortInfo& port) const {
    return port.index < kMaxPorts ? &sw->shared()->port[port.index] : nullptr;
  }
  Bound(Descriptor& owner, const wire::BindInfo& info) : owner(owner), info(info) {}
  std::atomic<bool> failure_told_{false};
};

class Descriptor : public std::enable_shared_from_this<Descriptor> {
 public:
  explicit Descriptor(int fd) { numbers_.push_back(fd); }

  // A number under which this process has it; -1 after the last was closed.
  int fd() const { return fd_.load(std::memory_order_relaxed); }
  void add_number(int fd);
  bool remove_number(int fd);  // true when that was the last
  void closing(int fd);        // after that, before the number is really closed

  // What it is bound to, nullptr if not registered as far as known; `ask_daemon`: another process may have done it.
  Bound* bound(bool ask_daemon);
  Bound* bound_now() const { return bound_.load(std::memory_order_acquire); }
  Result<Bound*> bind(const wire::BindInfo& info, std::vector<UniqueFd>& fds);
  // A registration that failed half way: the daemon forgets it too.
  void unbind();

  // The daemon is looked for every now and then, and its death remembered.
  bool daemon_alive();
  bool dead() const { return dead_.load(std::memory_order_relaxed); }
  void mark_dead();

  std::mutex control_mutex;
  std::atomic<bool> shared{false};  // with a process forked off: others may use it after we close it

 private:
  std::atomic<int> fd_{-1};
  std::vector<int> numbers_;
  std::atomic<Bound*> bound_{nullptr};
  std::unique_ptr<Bound> bound_owner_;
  std::vector<std::unique_ptr<Bound>> unbound_;  // that another thread may be looking at
  std::atomic<uint64_t> alive_checked_ms_{0};
  std::atomic<bool> dead_{false};
  friend DescriptorRef adopt(int fd);
};

// Milliseconds of a coarse monotonic clock: some nanoseconds to read.
uint64_t coarse_ms();

// Descriptors of the library's own.
void note_internal(int fd, bool internal);

// The body of the last failed reply in this thread, for requests that report in their body even on failure.
void set_failed_reply(std::vector<uint8_t>&& body);
std::vector<uint8_t> take_failed_reply();

// What a thread writes in a word that it holds, and whether the thread that wrote one is gone: ring/kring_lock.cc.
uint64_t thread_word();
bool thread_gone(uint64_t word);

// Locks of krings, shared by all processes that hold the port: see ring/kring_lock.cc.
class KringLock {
 public:
  explicit KringLock(std::atomic<uint64_t>& word);
  ~KringLock();
  bool held() const { return held_; }
  bool stolen() const { return stolen_; }  // from a holder that died: what it left half done has to be looked at

 private:
  std::atomic<uint64_t>& word_;
  bool held_ = false, stolen_ = false;
};

}  // namespace unetmap::client
