// SPDX-License-Identifier: BSD-2-Clause
// Kind "passthrough": the port's rings for a virtual machine. QEMU connects with -device ivshmem-doorbell, and its
// guest finds the memory of dev/passthrough/layout.hh in a BAR; a netmap program there works in these rings, which are
// synced from here as a kloop does, with a copy between them and the switch port's.
//
// Each connection gets memory of its own: what an earlier guest can still reach is nobody's any more. The file is
// sealed, so nobody can make it shorter. The only thing that comes from a client besides is its doorbell. As with cards
// by vfio-user, a guest does not get its port back by itself when the connection is lost.
#include <endian.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <bit>
#include <optional>

#include "base/bell.hh"
#include "dev/passthrough/device.hh"
#include "mem/memfd.hh"
#include "proto/ivshmem/greeting.hh"
#include "worker/e1000_parameters.hh"
#include "worker/guest_socket.hh"
#include "worker/kinds.hh"
#include "worker/load.hh"
#include "worker/switch_port.hh"

namespace unetmap::worker {
namespace {

constexpr uint32_t kLookOn_us = 50;                                   // of looking on after the last packet
constexpr uint32_t kOfATurn = 256;                                    // packets of a turn
constexpr uint64_t kFullNap_ns = 100'000, kFullNaps_ns = 20'000'000;  // while the guest gives no slots, and how long so

// What one client has.
struct PassedSession {
  UniqueFd socket, memory_fd, doorbell, interrupt;
  mem::Mapping memory;
  std::optional<passthrough::Device> device;

  Result<void> make(UniqueFd client, uint32_t slots, const std::array<uint8_t, 6>& mac);
  Result<void> greet() const;
};

Result<void> PassedSession::make(UniqueFd client, uint32_t slots, const std::array<uint8_t, 6>& mac) {
  socket = std::move(client);
  const uint64_t bytes = passthrough::Layout{slots}.bytes();
  auto fd = mem::create("unetmap-passthrough", bytes);
  if (!fd) return fd.error();
  auto mapping = mem::Mapping::map(fd->get(), bytes);
  if (!mapping) return mapping.error();
  memory_fd = std::move(*fd);
  memory = std::move(*mapping);
  for (UniqueFd* each : {&doorbell, &interrupt})
    if (*each = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); !*each) return Error::from_errno(errno, "eventfd");
  device.emplace(std::span(memory.data(), memory.size()), slots, mac);
  return {};
}

// The few bytes fit any socket's buffer.
Result<void> PassedSession::greet() const {
  const int host = doorbell.get(), guest = interrupt.get();
  for (const ivshmem::Message& message :
       ivshmem::messages({passthrough::kGuestPeer, passthrough::kHostPeer, memory_fd.get(), {&host, 1}, {&guest, 1}})) {
    uint64_t value = htole64(uint64_t(message.value));
    iovec part{&value, sizeof value};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    if (message.fd >= 0) {
      header.msg_control = control;
      header.msg_controllen = sizeof control;
      cmsghdr* rights = CMSG_FIRSTHDR(&header);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN(sizeof(int));
      memcpy(CMSG_DATA(rights), &message.fd, sizeof(int));
    }
    if (sendmsg(socket.get(), &header, MSG_NOSIGNAL) != ssize_t(sizeof value))
      return Error::from_errno(errno, "the client did not take the memory");
  }
  return {};
}

class Passthrough final : public Kind {
 public:
  Passthrough(const std::string& name, const std::array<uint8_t, 6>& mac, SwitchPort port, Loop& loop,
              Reporter& reporter)
      : mac_(mac), port_(std::move(port)), loop_(loop), socket_(name, loop, reporter) {
    slots_ = std::clamp(std::bit_floor(port_.rx().capacity()), passthrough::kLeastSlots, passthrough::kMostSlots);
    loop_.add_port(port_.fd(), *this);
    loop_.set_spin_us(kLookOn_us);
  }
  ~Passthrough() override {
    loop_.remove_port(port_.fd());
    forget();
  }

  Result<void> begin(const std::string& path, bool resume) {
    return socket_.begin(path, resume, [this](UniqueFd fd) { connected(std::move(fd)); });
  }

  bool turn() override;
  bool before_sleep() override;
  void after_sleep() override {
    if (session_) session_->device->disarm();
  }
  uint64_t wake_ns() override { return std::min(load_.until_ns(), full_until_ns_); }
  short port_events() override { return short((rx_blocked_ ? 0 : POLLIN) | (tx_blocked_ ? POLLOUT : 0)); }
  Json status() const override;
  void stop() override {
    if (session_) session_->device->close();
    socket_.remove();
  }

 private:
  passthrough::Device& device() { return *session_->device; }
  void connected(UniqueFd fd);
  void hear();
  void disconnect(const std::string& why);
  void forget();
  void settle();
  bool send();
  uint32_t put(const passthrough::TxFrame& frame, const Ring& ring, uint32_t at, uint32_t room);
  bool receive();
  void discard(Ring& ring);

  const std::array<uint8_t, 6> mac_;
  SwitchPort port_;
  Loop& loop_;
  GuestSocket socket_;
  uint32_t slots_ = 0;
  std::optional<PassedSession> session_;
  std::array<passthrough::TxFrame, passthrough::kMostFrames> frames_;
  std::array<passthrough::Piece, SwitchPort::kMaxFrags> parts_;  // of the packet in hand
  uint32_t told_ = 0;                                            // kinds of faults that were logged, of this connection
  bool rx_blocked_ = false, tx_blocked_ = false;
  uint64_t full_since_ns_ = 0, full_until_ns_ = UINT64_MAX;
  Load load_;
  uint64_t connections_ = 0, lost_no_driver_ = 0, lost_too_long_ = 0, doorbells_ = 0, doorbells_told_ = 0;
  passthrough::Counters before_;  // of earlier connections
};

void Passthrough::connected(UniqueFd fd) {
  connections_++;
  session_.emplace();
  told_ = 0;
  if (auto made = session_->make(std::move(fd), slots_, mac_); !made) return disconnect(made.error().text);
  if (auto greeted = session_->greet(); !greeted) return disconnect(greeted.error().text);
  // Edges of a doorbell are waited for and never read: nobody can make us wait in a read.
  if (!loop_.watch(session_->socket.get(), EPOLLIN | EPOLLRDHUP, [this](uint32_t) { hear(); }) ||
      !loop_.watch(session_->doorbell.get(), EPOLLIN | EPOLLET, [this](uint32_t) { doorbells_++; }))
    return disconnect("cannot be waited for");
  socket_.greeted();
}

// A client that says something does not know the protocol.
void Passthrough::hear() {
  char byte;
  const ssize_t n = recv(session_->socket.get(), &byte, 1, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  disconnect(n > 0 ? "the client said something, which is not in the protocol of ivshmem" : "the client is gone");
}

void Passthrough::forget() {
  if (!session_) return;
  loop_.unwatch(session_->socket.get());
  if (session_->device) {
    loop_.unwatch(session_->doorbell.get());
    before_ += device().counters();
    doorbells_told_ += device().doorbells();
    device().close();
  }
  session_.reset();
  // What was held back is nobody's now: nothing is to wake us for it.
  rx_blocked_ = tx_blocked_ = false;
  full_since_ns_ = 0;
}

void Passthrough::disconnect(const std::string& why) {
  forget();
  socket_.over(why);
}

// After each step of the device: what it wants to be heard of.
void Passthrough::settle() {
  if (device().take_interrupt()) (void)ring_bell(session_->interrupt.get());
  const passthrough::Fault fault = device().fault();
  const uint32_t bit = 1u << unsigned(fault);
  if (fault == passthrough::Fault::kNone || (told_ & bit)) return;
  told_ |= bit;
  socket_.say(std::string(passthrough::describe(fault)) + "; nothing moves until the guest opens the port anew");
}

// The frame in our slots from `at` on; the slots it takes, 0 if `room` are too few.
uint32_t Passthrough::put(const passthrough::TxFrame& frame, const Ring& ring, uint32_t at, uint32_t room) {
  if (room == 0) return 0;
  FrameWriter writer(ring, at, room);
  for (std::span<const uint8_t> piece : frame.pieces)
    if (!writer.add(piece)) return 0;
  return writer.finish();
}

bool Passthrough::send() {
  Ring ring = port_.tx();
  uint32_t packets = 0, slots = 0;
  uint64_t bytes = 0;
  tx_blocked_ = false;
  while (packets < kOfATurn && !tx_blocked_) {
    size_t fetched = device().fetch(frames_), accepted = 0;
    if (fetched == 0) break;
    uint32_t at = 0;
    const auto room = uint32_t(ring.size());
    for (; accepted < fetched; accepted++) {
      const uint32_t used = put(frames_[accepted], ring, at, room - at);
      if (used == 0) break;
      at += used;
      bytes += frames_[accepted].bytes;
    }
    tx_blocked_ = accepted < fetched;
    // One that no empty ring can hold would come for ever.
    if (tx_blocked_ && accepted == 0 && room + 1 >= ring.capacity()) {
      lost_too_long_++;
      accepted = 1;
      tx_blocked_ = false;
    }
    if (at > 0) ring.advance(at);
    slots += at;
    device().complete(accepted);
    packets += uint32_t(accepted);
  }
  load_.moved(packets, bytes);
  if (slots > 0 || port_.tx_pending()) port_.sync_tx();
  return packets > 0;
}

// Nobody listens: what is there for the guest is lost.
void Passthrough::discard(Ring& ring) {
  const auto available = uint32_t(ring.size());
  for (uint32_t i = 0; i < available; i++) lost_no_driver_ += !(ring[i].flags & NS_MOREFRAG);
  ring.advance(available);
}

bool Passthrough::receive() {
  port_.sync_rx();
  rx_blocked_ = false;
  Ring ring = port_.rx();
  if (ring.empty()) return false;
  if (!session_ || !device().listening()) return discard(ring), true;
  const auto available = uint32_t(ring.size());
  uint32_t at = 0, packets = 0;
  while (at < available && packets < kOfATurn) {
    if (at + 4 < available) __builtin_prefetch(ring.buffer(at + 4).data());
    const PacketView packet = packet_at(ring, at, available);
    uint32_t count = 0;
    for (uint32_t i = 0; i < packet.slots && count < parts_.size(); i++) {
      const std::span<const std::byte> data = ring.data(at + i);
      if (!data.empty()) parts_[count++] = {reinterpret_cast<const uint8_t*>(data.data()), data.size()};
    }
    if (count > 0) {
      const passthrough::Delivery done = device().deliver({parts_.data(), count});
      rx_blocked_ = done == passthrough::Delivery::kNoRoom;
      if (rx_blocked_ || done == passthrough::Delivery::kBroken) break;
    }
    at += packet.slots;
    packets++;
  }
  if (at > 0) ring.advance(at);
  device().finish();
  return packets > 0;
}

bool Passthrough::turn() {
  if (session_) device().attend();
  bool moved = session_ && send();
  moved = receive() || moved;
  if (session_) settle();
  if (moved || !rx_blocked_) full_since_ns_ = 0;
  return moved;
}

// Under load the guest need not ring for what it sends, nor for each slot that it gives back to a full ring: we look
// again by ourselves. One that gives none for some time is waited for.
bool Passthrough::before_sleep() {
  load_.no_nap();
  full_until_ns_ = UINT64_MAX;
  if (!session_) return true;
  if (tx_blocked_) port_.ask_for_more_room();
  const uint64_t now = now_ns();
  const bool nap = !tx_blocked_ && load_.nap(now);
  bool await_slots = rx_blocked_;
  if (rx_blocked_) {
    if (full_since_ns_ == 0) full_since_ns_ = now;
    if (now - full_since_ns_ < kFullNaps_ns) {
      full_until_ns_ = now + kFullNap_ns;
      await_slots = false;
    }
  }
  return !device().arm(!tx_blocked_ && !nap, await_slots);
}

Json Passthrough::status() const {
  passthrough::Counters counters = before_;
  uint64_t told = doorbells_told_;
  passthrough::Fault fault = passthrough::Fault::kNone;
  bool listening = false;
  if (session_) {
    const passthrough::Device& device = *session_->device;
    counters += device.counters();
    told += device.doorbells();
    fault = device.fault();
    listening = device.listening();
  }
  return {{"rx_packets", counters.rx_packets},
          {"rx_bytes", counters.rx_bytes},
          {"tx_packets", counters.tx_packets},
          {"tx_bytes", counters.tx_bytes},
          {"lost_no_driver", lost_no_driver_},
          {"lost_malformed", counters.lost_malformed},
          {"lost_too_long", counters.lost_too_long + lost_too_long_},
          {"doorbells", told},
          {"wakeups", doorbells_},
          {"interrupts", counters.interrupts},
          {"sessions", counters.sessions},
          {"faults", counters.faults},
          {"connections", connections_},
          {"broken", fault != passthrough::Fault::kNone},
          {"listening", listening},
          {"slots", slots_},
          {"mac", mac_text(mac_)}};
}

}  // namespace

Result<std::unique_ptr<Kind>> start_passthrough(Start start) {
  auto endpoint = endpoint_parameters(start.parameters);
  if (!endpoint) return endpoint.error();
  if (!endpoint->server)
    return Error{EINVAL,
                 start.port + ": plug: QEMU is the one that connects to a passed-through port; leave --client out"};
  // The address that a card at this port would have.
  auto card = e1000_parameters(start.port, {});
  if (!card) return card.error();
  auto port = SwitchPort::open(start.port);
  if (!port) return port.error();
  if (port->rings() > 1)
    return Error{EINVAL, start.port + ": a passed-through port has one pair of rings; plug it without --rings"};
  auto kind = std::make_unique<Passthrough>(start.port, card->mac, std::move(*port), start.loop, start.reporter);
  auto begun = kind->begin(endpoint->path, start.parameters.contains("resume"));
  if (!begun) return begun.error();
  prepare_bells();
  return std::unique_ptr<Kind>(std::move(kind));
}

}  // namespace unetmap::worker
