// SPDX-License-Identifier: BSD-2-Clause
// The host's side of a port that is passed through to a guest (layout.hh): packets out of its transmit rings and into
// its receive rings.
//
// No sockets, no system calls, no clock; one thread. Nothing that the guest writes is trusted: each word is loaded
// once, checked, and only the copy used, and no address comes from it but indexes of buffers. The first thing that no
// driver may do breaks the device until a new session begins; no step walks further than once around a ring.
//
//   in turns                                        sleep
//     if (device.attend())                            if (device.arm(...)) do not sleep;
//       for each pair {                               poll;
//         slots = pair.fetch();                       device.disarm();
//         copy what lies in their buffers;
//         pair.complete(as many slots as that is);
//         while (packet waits) pair.deliver(packet);
//         pair.finish();
//       }
//   after these: if (device.take_interrupt()) interrupt the guest
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "dev/passthrough/layout.hh"

namespace unetmap::passthrough {

enum class Fault : uint8_t {
  kNone,
  kTxHead,    // beyond the ring
  kTxBuffer,  // a slot to transmit names a buffer that is not there, or more than it holds
  kTxPacket,  // does not end
  kRxHead,    // beyond the ring, or over slots that the driver does not have
  kRxBuffer,  // a slot to receive into names a buffer that is not there
};
// A sentence without a full stop, to follow the name of the port.
[[nodiscard]] const char* describe(Fault fault) noexcept;

using Piece = std::span<const uint8_t>;
inline constexpr uint32_t kMostAtOnce = 256;  // slots of one fetch()

enum class Delivery : uint8_t {
  kDone,
  kNoRoom,   // nothing happened: the guest has given too few slots
  kDropped,  // longer than its ring can ever hold
  kBroken,   // see fault(), or nobody listens
};

struct Counters {
  uint64_t rx_packets = 0, rx_bytes = 0;  // to the guest
  uint64_t tx_packets = 0, tx_bytes = 0;  // from it
  uint64_t lost_malformed = 0;            // from it, of a length that no frame has
  uint64_t lost_too_long = 0;             // for it
  uint64_t sessions = 0, faults = 0, interrupts = 0;

  Counters& operator+=(const Counters& more);
};

class Device;

// Two rings of a device, which owns them.
class RingPair {
 public:
  // --- From the guest: slots of whole packets, at most kMostAtOnce, behind those that were fetched already, in order.
  // A packet has kShortestFrame to kLongestFrame bytes in all its slots. Slots of buffer 0 are to be passed over. Copies, valid until the next fetch(); what lies in their buffers the guest can still change: copy,
  // then look.
  std::span<const SlotWord> fetch();
  // So many slots more are done with, of those fetched: their buffers are the guest's.
  void complete(uint32_t slots);
  // Fetched, and not completed.
  uint32_t outstanding() const { return distance(tx_done_, tx_cur_); }
  // Those of the last fetch() from number `from` on were not taken, and come again.
  void give_back(uint32_t from);
  // The bytes of a fetched slot.
  Piece bytes_of(SlotWord slot) const;

  // --- To the guest: nothing of it is shown before finish().
  Delivery deliver(std::span<const Piece> pieces);
  // The same for a packet in one piece of kBufferBytes at most.
  Delivery deliver(const uint8_t* bytes, uint32_t count);
  void finish();

 private:
  friend class Device;
  RingPair(Device& device, uint32_t number) : device_(device), number_(number) {}
  nm_csb_ktoa& tx_host() const;
  nm_csb_ktoa& rx_host() const;
  const nm_csb_atok& tx_guest() const;
  const nm_csb_atok& rx_guest() const;
  uint8_t* tx_slots() const;
  uint8_t* rx_slots() const;
  uint32_t mask() const;
  uint32_t distance(uint32_t from, uint32_t to) const { return (to - from) & mask(); }
  uint32_t after(uint32_t index) const { return (index + 1) & mask(); }
  uint32_t rx_room() const { return (rx_head_ - rx_tail_ - 1) & mask(); }
  void begin();
  bool look_at_rx_head();
  bool has_room(uint32_t slots);
  uint32_t load_packet(uint32_t at, uint32_t count, uint64_t& bytes);

  Device& device_;
  const uint32_t number_;
  uint32_t tx_done_ = 0;                // hwcur as published
  uint32_t tx_cur_ = 0;                 // the next slot of the guest's to be looked at
  uint32_t tx_head_ = 0, rx_head_ = 0;  // the guest's, as last seen
  uint32_t rx_tail_ = 0;                // the next slot to be filled
  uint32_t rx_shown_ = 0;               // hwtail as published
  bool news_tx_ = false, news_rx_ = false;
  uint32_t fetched_slots_ = 0;  // of the last fetch(), those that were taken
  std::array<SlotWord, kMostAtOnce + kMostPieces> fetched_{};
};

class Device {
 public:
  // The memory is the caller's, zero, Layout{slots, pairs}.bytes() long, and outlives the device.
  Device(std::span<uint8_t> memory, uint32_t slots, uint32_t pairs, const std::array<uint8_t, 6>& mac);
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  // Looks whether a driver came, began anew or went. True: one is there, and nothing is broken.
  bool attend();
  // Whether a driver is there, as of the last attend().
  bool listening() const { return session_ != 0 && fault_ == Fault::kNone; }
  // Counts what was begun: another number, another session.
  uint64_t begun() const { return begun_; }

  uint32_t pairs() const { return layout_.pairs; }
  RingPair& pair(uint32_t number) { return pairs_[number]; }
  const Layout& layout() const { return layout_; }
  uint8_t* memory() const { return memory_; }

  // --- Sleep. Asks to be woken for what the guest sends in these rings, or for the slots that it gives in those: a bit
  // for each pair. Looks once more. True: there is work.
  bool arm(uint32_t tx, uint32_t rx);
  void disarm();
  // What was published since the last call is something that the guest wants to be told.
  bool take_interrupt();

  // Unplugged: tells the guest.
  void close();

  Fault fault() const { return fault_; }
  const Counters& counters() const { return counters_; }
  uint32_t doorbells() const { return guest().doorbells.load(std::memory_order_relaxed); }  // by the guest's word

 private:
  friend class RingPair;
  HostBlock& host() const { return *reinterpret_cast<HostBlock*>(memory_ + Layout::host()); }
  GuestBlock& guest() const { return *reinterpret_cast<GuestBlock*>(memory_ + Layout::guest()); }
  void begin(uint32_t session);
  void break_it(Fault fault);

  uint8_t* const memory_;
  const Layout layout_;
  uint8_t* const bufs_;      // buffer 0
  const uint32_t buffers_;
  uint32_t session_ = 0;
  uint64_t begun_ = 0;
  uint32_t request_ = 0;     // to be woken, the last
  bool armed_ = false;
  Fault fault_ = Fault::kNone;
  Counters counters_;
  std::vector<RingPair> pairs_;
};

}  // namespace unetmap::passthrough
