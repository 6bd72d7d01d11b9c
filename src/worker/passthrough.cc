// SPDX-License-Identifier: BSD-2-Clause
// Kind "passthrough": the port's rings for a virtual machine. QEMU connects with -device ivshmem-doorbell, and its
// guest finds the memory of dev/passthrough/layout.hh in a BAR; a netmap program there works in these rings, which are
// synced from here as a kloop does (passed_pair.hh).
//
// Each connection gets memory of its own: what an earlier guest can still reach is nobody's any more. The file is
// sealed, so nobody can make it shorter. The only thing that comes from a client besides is its doorbell. As with cards
// by vfio-user, a guest does not get its port back by itself when the connection is lost.
#include <endian.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <bit>
#include <map>
#include <optional>

#include "base/bell.hh"
#include "base/fd_message.hh"
#include "dev/passthrough/device.hh"
#include "mem/memfd.hh"
#include "proto/ivshmem/greeting.hh"
#include "worker/e1000_parameters.hh"
#include "worker/guest_socket.hh"
#include "worker/kinds.hh"
#include "worker/load.hh"
#include "worker/neighbours.hh"
#include "worker/passed_pair.hh"
#include "worker/switch_port.hh"

namespace unetmap::worker {
namespace {

constexpr uint32_t kLookOn_us = 50;                                   // of looking on after the last packet
constexpr uint64_t kFullNap_ns = 100'000, kFullNaps_ns = 20'000'000;  // while the guest gives no slots, and how long so
constexpr uint64_t kLongFullNap_ns = 1'000'000;                       // then, where other rings have to be looked at

// Ends of pipes that this process serves, by name.
std::map<std::string, Neighbour*>& pipe_ends() {
  static std::map<std::string, Neighbour*> all;
  return all;
}
// Empty: it is no pipe's.
std::string other_end(std::string name) {
  const size_t at = name.find_first_of("{}");
  if (at == std::string::npos) return "";
  name[at] = name[at] == '{' ? '}' : '{';
  return name;
}

// What one client has.
struct PassedSession {
  UniqueFd socket, memory_fd, doorbell, interrupt;
  mem::Mapping memory;
  std::optional<passthrough::Device> device;

  Result<void> make(UniqueFd client, const passthrough::Layout& layout, const std::array<uint8_t, 6>& mac);
  Result<void> greet() const;
};

Result<void> PassedSession::make(UniqueFd client, const passthrough::Layout& layout,
                                 const std::array<uint8_t, 6>& mac) {
  socket = std::move(client);
  const uint64_t bytes = layout.bytes();
  auto fd = mem::create("unetmap-passthrough", bytes);
  if (!fd) return fd.error();
  auto mapping = mem::Mapping::map(fd->get(), bytes);
  if (!mapping) return mapping.error();
  memory_fd = std::move(*fd);
  memory = std::move(*mapping);
  for (UniqueFd* each : {&doorbell, &interrupt})
    if (*each = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); !*each) return Error::from_errno(errno, "eventfd");
  device.emplace(std::span(memory.data(), memory.size()), layout.slots, layout.pairs, mac);
  return {};
}

// The few bytes fit any socket's buffer.
Result<void> PassedSession::greet() const {
  const int host = doorbell.get(), guest = interrupt.get();
  for (const ivshmem::Message& message :
       ivshmem::messages({passthrough::kGuestPeer, passthrough::kHostPeer, memory_fd.get(), {&host, 1}, {&guest, 1}})) {
    const uint64_t value = htole64(uint64_t(message.value));
    const FdMessage sent(&value, sizeof value, {&message.fd, message.fd >= 0 ? 1u : 0u});
    if (sendmsg(socket.get(), sent.header(), MSG_NOSIGNAL) != ssize_t(sizeof value))
      return Error::from_errno(errno, "the client did not take the memory");
  }
  return {};
}

class Passthrough final : public Kind, public Neighbour {
 public:
  Passthrough(const std::string& name, const std::array<uint8_t, 6>& mac, SwitchPort port, Loop& loop,
              Reporter& reporter)
      : name_(name),
        other_end_(other_end(name)),
        mac_(mac),
        port_(std::move(port)),
        loop_(loop),
        socket_(name, loop, reporter) {
    layout_ = {std::clamp(std::bit_floor(port_.rx().capacity()), passthrough::kLeastSlots, passthrough::kMostSlots),
               port_.rings()};
    for (uint32_t i = 0; i < layout_.pairs; i++) pairs_.push_back(std::make_unique<PassedPair>(port_, i));
    loop_.add_port(port_.fd(), *this);
    loop_.set_spin_us(kLookOn_us);
    if (other_end_.empty())
      Neighbours::here().join(port_.fd(), *this);
    else
      pipe_ends()[name_] = this;
  }
  ~Passthrough() override {
    Neighbours::here().leave(*this);
    pipe_ends().erase(name_);
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
  short port_events() override {
    return short((some(&PassedPair::rx_blocked) ? 0 : POLLIN) | (some(&PassedPair::awaits_switch) ? POLLOUT : 0));
  }
  Json status() const override;
  void stop() override {
    if (session_) session_->device->close();
    socket_.remove();
  }

  // Neighbour
  bool ready() override;
  bool take(uint32_t index, const Passing& packet) override;
  void finish(int from_fd, uint32_t tx_ring) override;

 private:
  passthrough::Device& device() { return *session_->device; }
  bool listening() const { return session_ && session_->device && session_->device->listening(); }
  void connected(UniqueFd fd);
  void hear();
  void disconnect(const std::string& why);
  void forget();
  void settle();
  bool send();
  bool receive();
  bool some(bool (PassedPair::*what)() const) const {
    return std::any_of(pairs_.begin(), pairs_.end(), [&](auto& pair) { return ((*pair).*what)(); });
  }

  const std::string name_, other_end_;
  const std::array<uint8_t, 6> mac_;
  SwitchPort port_;
  Loop& loop_;
  GuestSocket socket_;
  passthrough::Layout layout_{};
  std::optional<PassedSession> session_;
  std::vector<std::unique_ptr<PassedPair>> pairs_;
  uint32_t told_ = 0;  // kinds of faults that were logged, of this connection
  uint64_t full_since_ns_ = 0, full_until_ns_ = UINT64_MAX;
  Load load_;
  uint64_t connections_ = 0, doorbells_ = 0, doorbells_told_ = 0;
  passthrough::Counters before_;  // of earlier connections
};

void Passthrough::connected(UniqueFd fd) {
  connections_++;
  session_.emplace();
  told_ = 0;
  if (auto made = session_->make(std::move(fd), layout_, mac_); !made) return disconnect(made.error().text);
  if (auto greeted = session_->greet(); !greeted) return disconnect(greeted.error().text);
  // Edges of a doorbell are waited for and never read: nobody can make us wait in a read.
  if (!loop_.watch(session_->socket.get(), EPOLLIN | EPOLLRDHUP, [this](uint32_t) { hear(); }) ||
      !loop_.watch(session_->doorbell.get(), EPOLLIN | EPOLLET, [this](uint32_t) { doorbells_++; }))
    return disconnect("cannot be waited for");
  for (auto& pair : pairs_) pair->connect(device());
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
  for (auto& pair : pairs_) pair->disconnect();
  if (session_->device) {
    loop_.unwatch(session_->doorbell.get());
    before_ += device().counters();
    doorbells_told_ += device().doorbells();
    device().close();
  }
  session_.reset();
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

bool Passthrough::send() {
  const passthrough::Counters before = device().counters();
  bool moved = false, sync = false;
  static const Neighbours nobody;  // a pipe's frames have one way alone
  const auto end = other_end_.empty() ? pipe_ends().end() : pipe_ends().find(other_end_);
  for (auto& pair : pairs_) {
    moved = pair->send(other_end_.empty() ? Neighbours::here() : nobody,
                       end == pipe_ends().end() ? nullptr : end->second) ||
            moved;
    sync = sync || pair->wants_sync();
  }
  load_.moved(device().counters().tx_packets - before.tx_packets, device().counters().tx_bytes - before.tx_bytes);
  if (sync || port_.tx_pending()) {
    port_.sync_tx();
    for (auto& pair : pairs_) pair->account();
  }
  return moved;
}

bool Passthrough::receive() {
  port_.sync_rx();
  bool moved = false;
  for (auto& pair : pairs_) moved = pair->receive(listening()) || moved;
  return moved;
}

bool Passthrough::ready() {
  if (!session_ || !device().attend()) return false;
  receive();
  if (!device().listening() || some(&PassedPair::rx_blocked)) return false;
  for (uint32_t i = 0; i < layout_.pairs; i++)
    if (!port_.rx(i).empty()) return false;
  return true;
}

bool Passthrough::take(uint32_t index, const Passing& packet) {
  return pairs_[index % pairs_.size()]->take(packet) != passthrough::Delivery::kNoRoom;
}

void Passthrough::finish(int from_fd, uint32_t tx_ring) {
  for (uint32_t i = 0; i < pairs_.size(); i++) {
    const PassedPair::Taken taken = pairs_[i]->taken();
    if (taken.packets == 0) continue;
    pairs_[i]->finish();
    unetmap_count_routed(from_fd, tx_ring, port_.fd(), i, taken.packets, taken.bytes);
  }
  settle();
}

bool Passthrough::turn() {
  if (session_) device().attend();
  bool moved = session_ && send();
  moved = receive() || moved;
  if (session_) settle();
  if (moved || !some(&PassedPair::rx_blocked)) full_since_ns_ = 0;
  return moved;
}

// Under load the guest need not ring for what it sends, nor for each slot that it gives back to a full ring: we look
// again by ourselves. One that gives none for some time is waited for.
bool Passthrough::before_sleep() {
  load_.no_nap();
  full_until_ns_ = UINT64_MAX;
  if (!session_) return true;
  if (some(&PassedPair::held)) return false;
  uint32_t tx = 0, rx = 0;
  for (uint32_t i = 0; i < pairs_.size(); i++) {
    tx |= uint32_t{!pairs_[i]->tx_blocked()} << i;
    rx |= uint32_t{pairs_[i]->rx_blocked()} << i;
  }
  if (some(&PassedPair::awaits_switch)) port_.ask_for_more_room();
  const uint64_t now = now_ns();
  if (load_.nap(now)) tx = 0;
  if (rx != 0) {
    if (full_since_ns_ == 0) full_since_ns_ = now;
    const bool long_since = now - full_since_ns_ >= kFullNaps_ns;
    // While a ring is full, poll does not tell of the others' packets.
    if (!long_since || pairs_.size() > 1) full_until_ns_ = now + (long_since ? kLongFullNap_ns : kFullNap_ns);
    if (!long_since) rx = 0;
  }
  return !device().arm(tx, rx);
}

Json Passthrough::status() const {
  passthrough::Counters counters = before_;
  uint64_t told = doorbells_told_;
  passthrough::Fault fault = passthrough::Fault::kNone;
  bool listening = false;
  uint64_t lost_no_driver = 0, lost_too_long = 0;
  for (auto& pair : pairs_) {
    lost_no_driver += pair->lost_no_driver();
    lost_too_long += pair->lost_too_long();
  }
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
          {"lost_no_driver", lost_no_driver},
          {"lost_malformed", counters.lost_malformed},
          {"lost_too_long", counters.lost_too_long + lost_too_long},
          {"doorbells", told},
          {"wakeups", doorbells_},
          {"interrupts", counters.interrupts},
          {"sessions", counters.sessions},
          {"faults", counters.faults},
          {"connections", connections_},
          {"broken", fault != passthrough::Fault::kNone},
          {"listening", listening},
          {"slots", layout_.slots},
          {"rings", layout_.pairs},
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
  if (port->rings() > passthrough::kMostPairs || port->rings() != port->tx_rings())
    return Error{EINVAL, start.port + ": a passed-through port has at most " + std::to_string(passthrough::kMostPairs) +
                             " pairs of rings; plug it with fewer --rings"};
  auto kind = std::make_unique<Passthrough>(start.port, card->mac, std::move(*port), start.loop, start.reporter);
  auto begun = kind->begin(endpoint->path, start.parameters.contains("resume"));
  if (!begun) return begun.error();
  prepare_bells();
  return std::unique_ptr<Kind>(std::move(kind));
}

}  // namespace unetmap::worker
