// SPDX-License-Identifier: BSD-2-Clause
// Kind "e1000": Intel's 82540EM for a virtual machine. QEMU connects as a vfio-user client, and its guest's driver
// finds the card whose registers and rings are served from here.
//
// Register accesses are messages, and interrupts eventfds; rings and packets are in the guest's memory. A driver that
// does what no driver may do gets its device broken: a line in the log, and nothing of it moves until it is reset. A
// client that does not hold to the protocol loses its connection. A guest does not get its card back by itself when the
// connection is lost, for QEMU does not connect again: whoever started it plugs the card anew.
#include <poll.h>
#include <sys/epoll.h>

#include "base/bell.hh"
#include "dev/e1000/device.hh"
#include "proto/vfio_user/server.hh"
#include "vale/vnet_hdr.hh"
#include "worker/e1000_parameters.hh"
#include "worker/guest_socket.hh"
#include "worker/kinds.hh"
#include "worker/load.hh"
#include "worker/neighbours.hh"
#include "worker/switch_port.hh"

namespace unetmap::worker {
namespace {

constexpr uint32_t kHeaderBytes = vale::kVnetHdrMrgBytes;  // in front of each frame of the port
constexpr uint32_t kSpin_us = 50;                          // of looking on after the last packet
constexpr uint32_t kAtOnce = 256;                          // packets of a turn
constexpr uint32_t kMessagesAtOnce = 64;                   // before others have their turn
constexpr size_t kCacheLine = 64, kMaxAhead = 2048;        // bytes

class E1000 final : public Kind, public vfio_user::Device, public Neighbour {
 public:
  E1000(const std::string& name, const e1000::Config& config, SwitchPort port, Loop& loop, Reporter& reporter)
      : config_(config),
        port_(std::move(port)),
        loop_(loop),
        socket_(name, loop, reporter),
        device_(config, server_.memory()) {
    Neighbours::here().join(port_.fd(), *this);
    loop_.add_port(port_.fd(), *this);
    loop_.set_spin_us(kSpin_us);
  }
  ~E1000() override {
    Neighbours::here().leave(*this);
    loop_.remove_port(port_.fd());
    if (connection_) loop_.unwatch(connection_->fd());
    server_.disconnected();
  }

  Result<void> begin(const std::string& path, bool resume) {
    return socket_.begin(path, resume, [this](UniqueFd fd) { connected(std::move(fd)); });
  }

  // Kind
  bool turn() override;
  bool before_sleep() override;
  void after_sleep() override { device_.disarm(); }
  uint64_t wake_ns() override { return std::min(device_.deadline_ns(), load_.until_ns()); }
  short port_events() override { return short((rx_blocked_ ? 0 : POLLIN) | (tx_blocked_ ? POLLOUT : 0)); }
  Json status() const override;
  void stop() override { socket_.remove(); }

  // vfio_user::Device
  uint64_t region_bytes(uint32_t region) const override;
  uint32_t irqs(uint32_t index) const override;
  void region_read(uint32_t region, uint64_t offset, std::span<uint8_t> to) override;
  void region_write(uint32_t region, uint64_t offset, std::span<const uint8_t> from) override;
  void reset() override { device_.reset(); }
  void memory_changed() override {}  // the device looks at its generation
  void unmask_fd_closing() override;
  void unmask_fd_changed() override;

  // Neighbour
  bool ready() override;
  bool take(uint32_t index, const Passing& packet) override;
  void finish(int from_fd, uint32_t tx_ring) override;

 private:
  void connected(UniqueFd fd);
  void hear();
  bool serve(vfio_user::Request&& request);
  void disconnect(const std::string& why);
  void settle();
  bool send();
  bool hand_over(const e1000::TxFrame& frame, Handover* handover, const Ring& ring, uint32_t& at, uint32_t room);
  uint32_t put(const e1000::TxFrame& frame, const Ring& ring, uint32_t at, uint32_t room);
  bool receive();
  e1000::Delivery deliver(const Ring& ring, uint32_t at, const PacketView& packet);
  void discard(Ring& ring);

  const e1000::Config config_;
  SwitchPort port_;
  Loop& loop_;
  GuestSocket socket_;
  vfio_user::Server server_{*this};
  e1000::Device device_;
  std::optional<vfio_user::Connection> connection_;
  vfio_user::Reply reply_;
  std::array<e1000::TxFrame, e1000::kMaxFetch> frames_;
  std::array<std::span<const uint8_t>, SwitchPort::kMaxFrags> parts_;  // of the packet in hand
  e1000::Fault told_ = e1000::Fault::kNone;                            // of the device's faults
  bool told_memory_ = false;
  bool rx_blocked_ = false, tx_blocked_ = false;
  bool try_again_ = false;  // tx_blocked_, but the next turn may find room
  bool held_ = false;       // for a neighbour's
  Patience patience_;
  Load load_;
  uint64_t taken_packets_ = 0, taken_bytes_ = 0;  // between ready() and finish()
  uint64_t connections_ = 0, lost_no_driver_ = 0, lost_convert_ = 0, lost_too_long_ = 0;
};

void E1000::connected(UniqueFd fd) {
  connection_.emplace(std::move(fd));
  connections_++;
  told_memory_ = false;
  if (!loop_.watch(connection_->fd(), EPOLLIN, [this](uint32_t) { hear(); })) return disconnect("cannot be waited for");
  socket_.greeted();
}

void E1000::hear() {
  for (uint32_t i = 0; connection_; i++) {
    auto request = connection_->receive(i < kMessagesAtOnce);
    if (!request) return disconnect(request.error().text);
    if (!*request) return;
    if (!serve(std::move(**request)) || !connection_->more()) return;
  }
}

// False: the connection is over.
bool E1000::serve(vfio_user::Request&& request) {
  device_.advance(now_ns());
  auto answer = server_.handle(std::move(request), reply_);
  if (!answer) return disconnect(answer.error().text), false;
  // Before the answer: who has read a register finds the line as it is then.
  settle();
  if (!*answer) return true;
  if (auto sent = connection_->send(reply_); !sent) return disconnect(sent.error().text), false;
  return true;
}

void E1000::disconnect(const std::string& why) {
  loop_.unwatch(connection_->fd());
  server_.disconnected();
  device_.reset();
  told_ = e1000::Fault::kNone;
  // What was held back is nobody's now: nothing is to wake us for it.
  rx_blocked_ = tx_blocked_ = false;
  patience_.over();
  connection_.reset();
  socket_.over(why);
}

// After each step of the device: what it wants to be heard of.
void E1000::settle() {
  server_.set_intx(device_.line());
  for (uint32_t vectors = device_.take_vectors(), i = 0; vectors; vectors >>= 1, i++)
    if (vectors & 1) (void)server_.signal(i);
  if (device_.fault() == told_) return;
  told_ = device_.fault();
  if (told_ == e1000::Fault::kNone) return;
  socket_.say(std::string(e1000::describe(told_)) + "; the device is broken until its driver resets it");
  if (!server_.memory_is_shared() && !told_memory_)
    socket_.say("the guest's memory is not shared: give QEMU -object memory-backend-memfd,share=on,... as its memory");
  else if (e1000::outside_memory(told_) && !told_memory_)
    socket_.say(
        "if its driver is right, part of the guest's memory is not shared: give QEMU "
        "memory-backend-memfd with share=on for what is plugged in later, too");
  told_memory_ = true;
}

uint64_t E1000::region_bytes(uint32_t region) const {
  if (region == vfio_user::kConfig) return e1000::Device::kConfigBytes;
  return region <= vfio_user::kBar5 ? device_.bar_bytes(region) : 0;
}

uint32_t E1000::irqs(uint32_t index) const {
  switch (index) {
    case vfio_user::kIntx:
      return 1;
    case vfio_user::kMsix:
      return config_.paravirt ? e1000::Device::kVectors : 0;
    case vfio_user::kErr:
      return 1;  // QEMU wants to hear of errors, and complains where it cannot
    default:
      return 0;
  }
}

void E1000::region_read(uint32_t region, uint64_t offset, std::span<uint8_t> to) {
  if (region == vfio_user::kConfig) return device_.read_config(uint32_t(offset), to);
  device_.read_bar(region, offset, to);
}

void E1000::region_write(uint32_t region, uint64_t offset, std::span<const uint8_t> from) {
  if (region == vfio_user::kConfig) return device_.write_config(uint32_t(offset), from);
  device_.write_bar(region, offset, from);
}

void E1000::unmask_fd_closing() {
  if (server_.unmask_fd() >= 0) loop_.unwatch(server_.unmask_fd());
}

// Waited for by edges and never read: each write is one, and nobody can make us wait in a read.
void E1000::unmask_fd_changed() {
  if (server_.unmask_fd() >= 0)
    (void)loop_.watch(server_.unmask_fd(), EPOLLIN | EPOLLET, [this](uint32_t) { server_.unmask_intx(); }).has_value();
}

// The lines of a long frame behind the first, which Device::fetch() asked for, while the one before is being copied.
void prefetch_rest(const e1000::TxFrame& frame) {
  const e1000::Source& first = frame.pieces[0];
  const size_t ahead = std::min<size_t>(first.size(), kMaxAhead);
  for (size_t at = kCacheLine; at < ahead; at += kCacheLine) __builtin_prefetch(first.data() + at);
}

// The frame behind its header in our slots from `at` on; the slots it takes, 0 if `room` are too few.
uint32_t E1000::put(const e1000::TxFrame& frame, const Ring& ring, uint32_t at, uint32_t room) {
  uint32_t buffer = ring.buffer_size(), slots = (kHeaderBytes + frame.bytes + buffer - 1) / buffer;
  if (slots > room) return 0;
  vale::VnetHdrMrg header{frame.hdr, 0};
  memcpy(ring.buffer(at).data(), &header, kHeaderBytes);
  FrameWriter writer(ring, at, room, kHeaderBytes);
  for (std::span<const uint8_t> piece : frame.pieces)
    if (!writer.add(piece)) return 0;
  return writer.finish();
}

// Straight to its neighbour, or else into our slots from `at` on, of which there are `room`. False: neither has room.
bool E1000::hand_over(const e1000::TxFrame& frame, Handover* handover, const Ring& ring, uint32_t& at, uint32_t room) {
  if (Neighbour* to = handover ? handover->route(frame.pieces[0]) : nullptr) {
    if (to->take(0, {frame.hdr, frame.bytes, frame.pieces})) {
      patience_.over();
      return true;
    }
    if ((held_ = patience_.hold())) return false;
    handover->full(to);
  }
  const uint32_t used = put(frame, ring, at, room - at);
  at += used;
  return used > 0;
}

bool E1000::send() {
  Ring ring = port_.tx();
  uint32_t packets = 0, slots = 0;
  const uint64_t bytes_before = device_.counters().tx_bytes;
  tx_blocked_ = try_again_ = held_ = false;
  Handover handover(Neighbours::here(), port_.fd(), 0, port_.tx_pending());
  Handover* const direct = Neighbours::here().alone() ? nullptr : &handover;
  while (packets < kAtOnce && !tx_blocked_) {
    size_t fetched = device_.fetch(frames_), accepted = 0;
    if (fetched == 0) break;
    uint32_t at = 0, room = uint32_t(ring.size());
    for (; accepted < fetched; accepted++) {
      if (accepted + 1 < fetched) prefetch_rest(frames_[accepted + 1]);
      if (!hand_over(frames_[accepted], direct, ring, at, room)) break;
    }
    tx_blocked_ = accepted < fetched;
    // One that no empty ring can hold would come for ever.
    if (tx_blocked_ && accepted == 0 && !patience_.holds() && room + 1 >= ring.capacity()) {
      lost_too_long_++;
      accepted = 1;
      tx_blocked_ = false;
    }
    if (at > 0) ring.advance(at);
    slots += at;
    device_.complete(accepted);
    packets += uint32_t(accepted);
  }
  load_.moved(packets, device_.counters().tx_bytes - bytes_before);
  const uint32_t room = tx_blocked_ ? port_.tx_room() : 0;
  if (slots > 0 || port_.tx_pending()) port_.sync_tx();
  try_again_ = tx_blocked_ && (held_ || port_.tx_room() != room);
  return packets > 0;
}

e1000::Delivery E1000::deliver(const Ring& ring, uint32_t at, const PacketView& packet) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < packet.slots && count < parts_.size(); i++) {
    std::span<const std::byte> data = ring.data(at + i);
    if (!data.empty()) parts_[count++] = {reinterpret_cast<const uint8_t*>(data.data()), data.size()};
  }
  if (count == 0 || parts_[0].size() < kHeaderBytes) {
    lost_convert_++;
    return e1000::Delivery::kDropped;
  }
  vale::VnetHdr header = vale::load_vnet_hdr(parts_[0].data());
  parts_[0] = parts_[0].subspan(kHeaderBytes);
  size_t skip = parts_[0].empty() ? 1 : 0;
  return device_.deliver(header, {parts_.data() + skip, count - skip});
}

// The guest does not listen: what is there for it is lost.
void E1000::discard(Ring& ring) {
  uint32_t available = uint32_t(ring.size());
  for (uint32_t i = 0; i < available; i++) lost_no_driver_ += !(ring[i].flags & NS_MOREFRAG);
  if (available > 0) ring.advance(available);
}

bool E1000::receive() {
  port_.sync_rx();
  rx_blocked_ = false;
  Ring ring = port_.rx();
  if (ring.empty()) return false;
  if (!connection_ || !device_.receiving()) return discard(ring), true;
  uint32_t available = uint32_t(ring.size()), at = 0, packets = 0;
  while (at < available && packets < kAtOnce) {
    if (at + 4 < available) __builtin_prefetch(ring.buffer(at + 4).data());
    PacketView packet = packet_at(ring, at, available);
    e1000::Delivery done = deliver(ring, at, packet);
    rx_blocked_ = done == e1000::Delivery::kNoBuffers;
    if (rx_blocked_ || done == e1000::Delivery::kBroken) break;
    at += packet.slots;
    packets++;
  }
  if (at > 0) ring.advance(at);
  device_.finish();
  return packets > 0;
}

bool E1000::ready() {
  if (!connection_) return false;
  device_.advance(now_ns());
  receive();
  if (rx_blocked_ || !device_.receiving() || !port_.rx().empty()) return false;
  taken_packets_ = taken_bytes_ = 0;
  return true;
}

bool E1000::take(uint32_t, const Passing& packet) {
  e1000::Delivery done = device_.deliver(packet.hdr, packet.pieces);
  if (done == e1000::Delivery::kDone) {
    taken_packets_++;
    taken_bytes_ += packet.bytes;
  }
  if (done == e1000::Delivery::kBroken) lost_no_driver_++;
  return done != e1000::Delivery::kNoBuffers;
}

void E1000::finish(int from_fd, uint32_t tx_ring) {
  device_.finish();
  settle();
  unetmap_count_routed(from_fd, tx_ring, port_.fd(), 0, taken_packets_, taken_bytes_);
}

bool E1000::turn() {
  // While registers are what moves packets, they are not to wait for the loop's next look.
  if (connection_ && !device_.shares_block()) hear();
  device_.advance(now_ns());
  bool moved = connection_ && send();
  moved = receive() || moved;
  settle();
  return moved;
}

bool E1000::before_sleep() {
  load_.no_nap();
  if (!connection_) return true;
  if (server_.memory().broken()) {
    disconnect("the memory of the guest was cut short");
    return false;
  }
  if (tx_blocked_) port_.ask_for_more_room();
  const bool nap = !tx_blocked_ && device_.shares_block() && load_.nap(now_ns());
  bool work = tx_blocked_ ? try_again_ : !nap && device_.arm_transmit();
  work = device_.arm_receive() || work;
  return !work;
}

Json E1000::status() const {
  const e1000::Counters& device = device_.counters();
  const vfio_user::Server::Counters& server = server_.counters();
  Json out{{"rx_packets", device.rx_packets}, {"rx_bytes", device.rx_bytes},       {"tx_packets", device.tx_packets},
           {"tx_bytes", device.tx_bytes},     {"lost_no_driver", lost_no_driver_}, {"lost_convert", lost_convert_},
           {"lost_too_long", lost_too_long_}};
  for (size_t i = 0; i < e1000::kDrops; i++) {
    uint64_t& total = *out.emplace(e1000::counter_name(e1000::Drop(i)), uint64_t{0}).first->get_ptr<uint64_t*>();
    total += device.dropped[i];
  }
  out.update(Json{{"register_reads", device.register_reads},
                  {"register_writes", device.register_writes},
                  {"odd_accesses", device.odd_accesses},
                  {"tx_kicks", device.tx_kicks},
                  {"rx_kicks", device.rx_kicks},
                  {"interrupts", server.interrupts},
                  {"unmasks", server.unmasks},
                  {"messages", server.messages},
                  {"refused", server.refused},
                  {"resets", device.resets},
                  {"faults", device.faults},
                  {"connections", connections_},
                  {"broken", device_.fault() != e1000::Fault::kNone},
                  {"bus_master", device_.bus_master()},
                  {"shares_block", device_.shares_block()},
                  {"mac", mac_text(config_.mac)},
                  {"memory_regions", server_.maps()}});
  return out;
}

}  // namespace

Result<std::unique_ptr<Kind>> start_e1000(Start start) {
  auto endpoint = endpoint_parameters(start.parameters);
  if (!endpoint) return endpoint.error();
  if (!endpoint->server)
    return Error{EINVAL, start.port + ": plug: QEMU is the one that connects to an e1000; leave --client out"};
  auto config = e1000_parameters(start.port, start.parameters);
  if (!config) return config.error();
  auto port = SwitchPort::open(start.port, kHeaderBytes);
  if (!port) return port.error();
  if (port->rings() > 1) return Error{EINVAL, start.port + ": an e1000 has one pair of rings; plug it without --rings"};
  auto kind = std::make_unique<E1000>(start.port, *config, std::move(*port), start.loop, start.reporter);
  auto begun = kind->begin(endpoint->path, start.parameters.contains("resume"));
  if (!begun) return begun.error();
  prepare_bells();
  return std::unique_ptr<Kind>(std::move(kind));
}

}  // namespace unetmap::worker
