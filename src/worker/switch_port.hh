// SPDX-License-Identifier: BSD-2-Clause
// The worker's switch port, opened through the public netmap interface like any program's.
#pragma once

#include <sys/uio.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include "base/result.hh"
#include "unetmap/port.hh"

struct nmport_d;

namespace unetmap::worker {

class SwitchPort {
 public:
  static constexpr uint32_t kMaxFrags = 64;  // slots of a packet
  static constexpr uint32_t kMaxFrame =
      65535 + 14 + 8;  // bytes without virtio-net header: IP's longest, with VLAN tags

  // `header_len`: of the virtio-net header in front of each frame: 0, 10 or 12; set on the port.
  static Result<SwitchPort> open(const std::string& name, uint32_t header_len = 0);
  SwitchPort(SwitchPort&& other) noexcept : port_(std::exchange(other.port_, nullptr)) {}
  SwitchPort& operator=(SwitchPort&& other) noexcept {
    std::swap(port_, other.port_);
    return *this;
  }
  ~SwitchPort();

  int fd() const { return port_->fd; }
  uint32_t rings() const { return uint32_t(port_->last_rx_ring - port_->first_rx_ring + 1); }
  uint32_t tx_rings() const { return uint32_t(port_->last_tx_ring - port_->first_tx_ring + 1); }
  Ring rx(uint32_t ring = 0) const { return Ring(NETMAP_RXRING(port_->nifp, port_->first_rx_ring + ring)); }
  Ring tx(uint32_t ring = 0) const { return Ring(NETMAP_TXRING(port_->nifp, port_->first_tx_ring + ring)); }

  // Exchange with the switch; what fails says that the port is gone.
  bool sync_rx() { return ioctl(port_->fd, NIOCRXSYNC, nullptr) == 0; }
  bool sync_tx() { return ioctl(port_->fd, NIOCTXSYNC, nullptr) == 0; }

  // take(ring) for each receive ring, another one first each time, while go_on(). Returns whether one took anything.
  template <class Take, class GoOn>
  bool each_rx(Take&& take, GoOn&& go_on) {
    bool took = false;
    for (uint32_t i = 0; i < rings() && go_on(); i++) took = take(rx((first_rx_ + i) % rings())) || took;
    first_rx_ = (first_rx_ + 1) % rings();
    return took;
  }

  // Slots that were handed over and could not go yet, a lossless destination being full. poll sends them when there is
  // room, whatever events it waits for; who is busy with other things says sync_tx() now and then.
  bool tx_pending() const {
    for (uint32_t i = 0; i < tx_rings(); i++)
      if (nm_tx_pending(tx(i).get())) return true;
    return false;
  }
  uint32_t tx_room() const {
    uint32_t room = 0;
    for (uint32_t i = 0; i < tx_rings(); i++) room += uint32_t(tx(i).size());
    return room;
  }
  // Has poll's POLLOUT mean more room than there is now, in any ring: before sleeping with something that does not fit.
  void ask_for_more_room() {
    for (uint32_t i = 0; i < tx_rings(); i++) tx(i).get()->cur = tx(i).get()->tail;
  }

 private:
  explicit SwitchPort(nmport_d* port) : port_(port) {}
  nmport_d* port_;
  uint32_t first_rx_ = 0;  // of each_rx()'s next turn
};

// Slots of the packet at our slot number `at` of an rx ring, and its bytes, from the ring's own words alone: a chain
// that does not end ends with our slots.
struct PacketView {
  uint32_t slots, bytes;
};
inline PacketView packet_at(const Ring& ring, uint32_t at, uint32_t available) {
  PacketView out{0, 0};
  bool more;
  do {
    const netmap_slot& slot = ring[at + out.slots];
    out.bytes += uint32_t(ring.data(at + out.slots).size());
    out.slots++;
    more = slot.flags & NS_MOREFRAG;
  } while (more && at + out.slots < available);
  return out;
}

// A wire carries no shorter frames, the checksum not counted. Programs and guests may send shorter ones into the
// switch; where a frame is handed on as if it had come over a wire, it gets this many zeros.
inline constexpr uint32_t kWireMinimum = 60;
inline constexpr uint8_t kPadding[kWireMinimum] = {};
inline uint32_t padding_of(uint32_t bytes) { return bytes < kWireMinimum ? kWireMinimum - bytes : 0; }

// Our slots from number `at` on, of which there are `room`, one at least: a frame is written into them part after part.
class FrameWriter {
 public:
  // `filled`: bytes at the beginning of the first slot that are written already.
  FrameWriter(const Ring& ring, uint32_t at, uint32_t room, uint32_t filled = 0)
      : ring_(ring), at_(at), room_(room), filled_(filled), to_(ring.buffer(at)) {}
  // False: there are too few slots.
  bool add(std::span<const uint8_t> bytes) {
    while (!bytes.empty()) {
      if (filled_ == to_.size()) {
        end_slot(NS_MOREFRAG);
        if (++used_ == room_) return false;
        to_ = ring_.buffer(at_ + used_);
        filled_ = 0;
      }
      const auto part = uint32_t(std::min(bytes.size(), to_.size() - filled_));
      memcpy(to_.data() + filled_, bytes.data(), part);
      bytes = bytes.subspan(part);
      filled_ += part;
    }
    return true;
  }
  // The slots used.
  uint32_t finish() {
    end_slot(0);
    return used_ + 1;
  }

 private:
  void end_slot(uint16_t flags) {
    netmap_slot& slot = ring_[at_ + used_];
    slot.len = uint16_t(filled_);
    slot.flags = flags;
  }
  const Ring& ring_;
  const uint32_t at_, room_;
  uint32_t used_ = 0, filled_;
  std::span<std::byte> to_;
};

// Writes a frame of `bytes` to our slots from number `at` on, up to the one before number `available`; returns the slots
// used, 0 if there are too few.
inline uint32_t put_frame(const Ring& ring, uint32_t at, uint32_t available, std::span<const uint8_t> bytes) {
  if (at >= available) return 0;
  FrameWriter writer(ring, at, std::min(available - at, SwitchPort::kMaxFrags));
  return writer.add(bytes) ? writer.finish() : 0;
}

}  // namespace unetmap::worker
