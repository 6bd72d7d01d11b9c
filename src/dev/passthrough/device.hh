// SPDX-License-Identifier: BSD-2-Clause
// The host's side of a port that is passed through to a guest (layout.hh): packets out of its transmit ring and into
// its receive ring.
//
// No sockets, no system calls, no clock; one thread. Nothing that the guest writes is trusted: each word is loaded
// once, checked, and only the copy used, and no address comes from it but indexes of buffers. The first thing that no
// driver may do breaks the device until a new session begins; no step walks further than once around a ring.
//
//   in turns                                        sleep
//     if (device.attend()) {                          if (device.arm(...)) do not sleep;
//       while ((n = device.fetch(frames)) > 0)        poll;
//         device.complete(copy(frames, n));           device.disarm();
//       while (packet waits) device.deliver(packet);
//       device.finish();
//     }
//   after these: if (device.take_interrupt()) interrupt the guest
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

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
inline constexpr size_t kMostFrames = 64;  // of one fetch()

// A packet that the guest sends. The pieces lie in its memory, where it can still write: copy, then look.
struct TxFrame {
  uint32_t bytes;                 // kShortestFrame to kLongestFrame
  std::span<const Piece> pieces;  // none empty
};

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

class Device {
 public:
  // The memory is the caller's, zero, Layout{slots}.bytes() long, and outlives the device.
  Device(std::span<uint8_t> memory, uint32_t slots, const std::array<uint8_t, 6>& mac);

  // Looks whether a driver came, began anew or went. True: one is there, and nothing is broken.
  bool attend();
  // Whether a driver is there, as of the last attend().
  bool listening() const { return session_ != 0 && fault_ == Fault::kNone; }

  // --- From the guest. The frames stay its own, and come again, until complete() says that so many were copied.
  size_t fetch(std::span<TxFrame> frames);
  void complete(size_t count);

  // --- To the guest: nothing of it is shown before finish().
  Delivery deliver(std::span<const Piece> pieces);
  void finish();

  // --- Sleep. Asks to be woken for what the guest sends, or for the slots that it gives (`rx`), and looks once more.
  // True: there is work.
  bool arm(bool tx, bool rx);
  void disarm();
  // What was published since the last call is something that the guest wants to be told.
  bool take_interrupt();

  // Unplugged: tells the guest.
  void close();

  Fault fault() const { return fault_; }
  const Counters& counters() const { return counters_; }
  uint32_t doorbells() const { return guest().doorbells.load(std::memory_order_relaxed); }  // by the guest's word

 private:
  HostBlock& host() const { return *reinterpret_cast<HostBlock*>(memory_ + Layout::host()); }
  GuestBlock& guest() const { return *reinterpret_cast<GuestBlock*>(memory_ + Layout::guest()); }
  uint8_t* tx_slots() const { return memory_ + Layout::tx_slots(); }
  uint8_t* rx_slots() const { return memory_ + layout_.rx_slots(); }
  uint32_t distance(uint32_t from, uint32_t to) const { return (to - from) & (layout_.slots - 1); }
  uint32_t after(uint32_t index) const { return (index + 1) & (layout_.slots - 1); }
  void begin(uint32_t session);
  void break_it(Fault fault);
  bool look_at_rx_head();
  uint32_t load_frame(uint32_t at, size_t& piece, TxFrame& frame);
  void publish_tx();

  uint8_t* const memory_;
  const Layout layout_;
  uint32_t session_ = 0;
  uint32_t tx_cur_ = 0;                 // the next slot of the guest's to be looked at
  uint32_t tx_head_ = 0, rx_head_ = 0;  // the guest's, as last seen
  uint32_t rx_tail_ = 0;                // the next slot to be filled
  uint32_t rx_shown_ = 0;               // hwtail as published
  uint32_t request_ = 0;                // to be woken, the last
  bool armed_ = false, news_tx_ = false, news_rx_ = false;
  Fault fault_ = Fault::kNone;
  Counters counters_;
  // Of the last fetch(): where the slots of each frame end, and its bytes.
  size_t fetched_ = 0;
  std::array<uint32_t, kMostFrames> ends_{}, bytes_{};
  std::array<Piece, kMostFrames + kMostPieces> pieces_{};
};

}  // namespace unetmap::passthrough
