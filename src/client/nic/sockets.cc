// SPDX-License-Identifier: BSD-2-Clause
#include "client/nic/sockets.hh"

#include <linux/if_xdp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client/link/numbers.hh"
#include "client/nic/driver.hh"
#include "client/nic/frames.hh"
#include "client/nic/xsk.hh"
#include "wire/keeper.hh"

namespace unetmap::client {

Result<std::unique_ptr<NicSockets>> NicSockets::make(const wire::BindInfo& info, std::span<UniqueFd> fds,
                                                     int doorbell) {
  std::unique_ptr<NicSockets> out(new NicSockets);
  out->info_ = info.nic;
  out->nic_tx_ = uint16_t(info.port.tx_rings - info.port.host_tx_rings);
  out->nic_rx_ = uint16_t(info.port.rx_rings - info.port.host_rx_rings);
  bool packet = info.nic.kind == wire::NicKind::kPacket, driven = info.nic.kind == wire::NicKind::kDriver;
  size_t others = driven ? wire::kDriverFds + info.nic.interrupts : info.nic.straight ? 2 : 0;
  if (fds.size() != size_t{info.nic.sockets} + 1 + others || (packet && info.nic.sockets > 1))
    return Error{EPROTO, "unetmapd: bound to an interface, but without the sockets for it"};
  for (uint16_t i = 0; i < info.nic.sockets; i++) {
    if (packet) {
      out->packet_ = move_high(std::move(fds[i]));
      continue;
    }
    if (driven) {
      if (out->driven_) continue;  // each queue comes with its device
      auto device = DrivenDevice::map(std::move(fds[i]), fds.subspan(info.nic.sockets + 1u));
      if (!device) return device.error();
      out->driven_ = *device;
      continue;
    }
    auto socket = XskSocket::map(std::move(fds[i]), info.nic);
    if (!socket) return socket.error();
    out->xsk_.push_back(*socket);
  }
  out->tap_ = move_high(std::move(fds[info.nic.sockets]));
  if (info.nic.straight && info.nic.sockets > 0) {
    auto live = LiveFrames::map(std::move(fds[info.nic.sockets + 1u]), std::move(fds[info.nic.sockets + 2u]));
    if (!live) return live.error();
    out->live_ = *live;
  }
  out->bell_ = move_high(UniqueFd(int(syscall(SYS_epoll_create1, EPOLL_CLOEXEC))));
  epoll_event event{EPOLLIN | EPOLLET, {}};
  if (!out->bell_ || syscall(SYS_epoll_ctl, out->bell_.get(), EPOLL_CTL_ADD, doorbell, &event) < 0)
    return Error::from_errno(errno, "epoll instance for an interface's sockets");
  auto watch = [&](int fd, bool in, bool rx) {
    if (fd < 0) return;
    for (Watched& w : out->watched_)
      if (w.fd == fd) {
        w.in |= rx && in;
        w.out |= !rx && in;
        return;
      }
    out->watched_.push_back({fd, rx && in, !rx && in, 0});
  };
  auto socket_of = [&](uint32_t ring, bool rx) {
    if (out->is_host(ring, rx)) return out->tap_.get();
    if (packet) return ring == 0 ? out->packet_.get() : -1;
    if (out->driven_) return out->driven_->bell(ring);
    uint32_t at = ring - info.nic.first_queue;
    return at < out->xsk_.size() ? out->xsk_[at]->fd() : -1;
  };
  const bool sends = info.tx_first < info.tx_end, receives = info.rx_first < info.rx_end;
  out->first_pair_ = !sends ? info.rx_first : !receives ? info.tx_first : std::min(info.tx_first, info.rx_first);
  out->end_pair_ = !sends ? info.rx_end : !receives ? info.tx_end : std::max(info.tx_end, info.rx_end);
  for (uint32_t i = info.tx_first; i < info.tx_end; i++) watch(socket_of(i, false), true, false);
  for (uint32_t i = info.rx_first; i < info.rx_end; i++) watch(socket_of(i, true), true, true);
  return out;
}

NicSockets::~NicSockets() {
  for (const UniqueFd* fd : {&packet_, &tap_, &bell_})
    if (*fd) note_internal(fd->get(), false);
}

bool NicSockets::is_host(uint32_t ring, bool rx) const { return ring >= (rx ? nic_rx_ : nic_tx_); }

std::unique_ptr<NicTx> NicSockets::tx(uint32_t ring, const vale::TxView& view, NicState* state) const {
  if (is_host(ring, false)) return std::make_unique<FrameTx>(tap_channel(tap_.get()), view, state);
  if (driven_) return std::make_unique<DriverTx>(driven_, ring, view);
  if (packet_) return ring == 0 ? std::make_unique<FrameTx>(packet_channel(packet_.get()), view, state) : nullptr;
  uint32_t at = ring - info_.first_queue;
  if (at >= xsk_.size()) return nullptr;
  return std::make_unique<XskTx>(xsk_[at], live_, view, state, info_.packet_slots);
}

std::unique_ptr<NicRx> NicSockets::rx(uint32_t ring, const NicRxView& view, NicState* state) const {
  if (is_host(ring, true)) return std::make_unique<FrameRx>(tap_channel(tap_.get()), view, state);
  if (driven_) return std::make_unique<DriverRx>(driven_, ring, view);
  if (packet_) return ring == 0 ? std::make_unique<FrameRx>(packet_channel(packet_.get()), view, state) : nullptr;
  uint32_t at = ring - info_.first_queue;
  if (at >= xsk_.size()) return nullptr;
  return std::make_unique<XskRx>(xsk_[at], view, state);
}

// Transmit sockets are watched only when somebody waits for room: each packet that the kernel is done with would else
// go through the epoll instance.
void NicSockets::arm(bool in, bool out) {
  std::lock_guard hold(mutex_);
  if (driven_ && (in || out)) driven_->arm(first_pair_, end_pair_, in, out);
  for (Watched& w : watched_) {
    uint32_t events = (in && w.in ? uint32_t{EPOLLIN} : 0) | (out && w.out ? uint32_t{EPOLLOUT} : 0);
    // A device has one bell, whichever way frames go.
    if (events && driven_ && w.fd != tap_.get()) events = EPOLLIN;
    if (events == 0 || (w.armed & events) == events) continue;
    // A wait for one direction by one thread does not end what another thread waits for: interest in arrivals stays.
    events |= w.armed & EPOLLIN;
    epoll_event event{events | EPOLLET, {}};
    int saved = errno;
    syscall(SYS_epoll_ctl, bell_.get(), w.armed ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, w.fd, &event);
    errno = saved;
    w.armed = events;
  }
}

void NicSockets::abandon() {
  std::lock_guard hold(mutex_);
  if (driven_) driven_->let_go();
}

void NicSockets::close() {
  std::lock_guard hold(mutex_);
  watched_.clear();
  xsk_.clear();
  driven_.reset();
  live_.reset();
  for (UniqueFd* fd : {&packet_, &tap_})
    if (*fd) {
      note_internal(fd->get(), false);
      fd->reset();
    }
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

bool NicSockets::to_host(const uint8_t* frame, uint32_t len) const {
  int saved = errno;
  bool sent = syscall(SYS_write, tap_.get(), frame, len) == long(len);
  errno = saved;
  return sent;
}

}  // namespace unetmap::client
