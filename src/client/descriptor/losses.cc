// SPDX-License-Identifier: BSD-2-Clause
// What a program lost: packets in tx rings that nobody had taken when it closed the port, and packets for its receive
// rings that found no room there.
#include <linux/if_xdp.h>
#include <sys/socket.h>

#include <cstring>

#include "base/port_address.hh"
#include "client/state.hh"
#include "client/nic/xsk_socket.hh"
#include "unetmap/unetmap.h"

namespace unetmap::client {
namespace {

std::atomic<uint64_t> abandoned{0};

}  // namespace

// What the program wrote may be anything: positions are checked, and the walk ends after one round.
uint32_t TxRing::unsent() const {
  if (csb_.ktoa) return 0;  // a guest's ring, whose host is the one that closes
  const uint32_t n = view_.num_slots, head = __atomic_load_n(&ring_->head, __ATOMIC_RELAXED);
  auto [hwcur, hwtail] = indexes();
  // What an interface has taken and not sent yet goes with its socket.
  uint32_t from = nic_here_ ? (hwtail + 1 == n ? 0 : hwtail + 1) : hwcur;
  if (head >= n || from >= n) return 0;
  uint32_t packets = 0;
  for (; from != head; from = from + 1 == n ? 0 : from + 1)
    packets += !(__atomic_load_n(&view_.slots[from].flags, __ATOMIC_RELAXED) & NS_MOREFRAG);
  return packets;
}

void Bound::note_abandoned() {
  uint64_t packets = 0;
  for (auto& ring : tx) packets += ring->unsent();
  if (packets == 0) return;
  abandoned.fetch_add(packets, std::memory_order_relaxed);
  report_notice((std::string(info.name, strnlen(info.name, sizeof info.name)) + ": closed with " +
                 std::to_string(packets) +
                 " packets in its transmit rings that nobody had taken; nmport_flush() waits for them")
                    .c_str());
}

uint64_t RxRing::missed() const {
  if (!receiver_) return 0;  // who sends to a pipe waits; what a kernel lost is counted at its sockets
  const wire::PortInfo& port = bound_.info.port;
  const auto* exchange = reinterpret_cast<const RxExchange*>(bound_.region->exchange.data() + port.exchange_ofs +
                                                             index_ * port.exchange_stride);
  return exchange->lost_full.load(std::memory_order_relaxed) + exchange->lost_oversize.load(std::memory_order_relaxed) +
         kring_->lost_corrupt.load(std::memory_order_relaxed);
}

uint64_t NicSockets::missed() const {
  uint64_t packets = 0;
  for (const auto& socket : xsk_) {
    xdp_statistics counted{};
    socklen_t bytes = sizeof counted;
    if (socket && getsockopt(socket->fd(), SOL_XDP, XDP_STATISTICS, &counted, &bytes) == 0)
      packets += counted.rx_dropped + counted.rx_ring_full;
  }
  return packets;
}

int64_t missed(Descriptor& d) noexcept {
  Bound* bound = d.bound(true);
  if (!bound) {
    errno = EINVAL;
    return -1;
  }
  uint64_t packets = bound->nic ? bound->nic->missed() : 0;
  for (auto& ring : bound->rx) packets += ring->missed();
  return int64_t(packets);
}

}  // namespace unetmap::client

extern "C" int64_t unetmap_missed(int fd) {
  if (auto* d = unetmap::client::peek(fd)) return unetmap::client::missed(*d);
  errno = EBADF;
  return -1;
}

extern "C" void unetmap_port_address(const char* port, unsigned char address[6]) {
  const auto made = unetmap::port_address(port);
  memcpy(address, made.data(), made.size());
}

extern "C" uint64_t unetmap_abandoned(void) { return unetmap::client::abandoned.load(std::memory_order_relaxed); }
