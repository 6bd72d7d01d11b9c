// SPDX-License-Identifier: BSD-2-Clause
// Kind "vhost-user": a virtual machine's network device. QEMU, virtio-user or any other vhost-user front-end connects
// (or is connected to), and its queues are served from here, straight in the memory of the guest.
//
// A driver that does what no driver may do gets its device marked broken: a line in the log, the error descriptor of
// the ring, DEVICE_NEEDS_RESET in the status; nothing of it moves any more until it is reset. A front-end that does not
// hold to the protocol loses its connection.
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "proto/vhost_user/backend.hh"
#include "worker/kinds.hh"
#include "worker/unix_socket.hh"
#include "worker/vhost_user_pair.hh"

namespace unetmap::worker {
namespace {

constexpr uint32_t kMaxPairs = 32, kHeaderBytes = 12;
constexpr uint32_t kSpin_us = 50;  // of looking on after the last packet

class VhostUser final : public Kind, public vhost_user::Device, public Neighbour {
 public:
  VhostUser(std::string name, SwitchPort port, Loop& loop, Reporter& reporter)
      : name_(std::move(name)),
        port_(std::move(port)),
        loop_(loop),
        reporter_(reporter),
        backend_({virtio::kDataPathFeatures | virtio::kMtu | virtio::kStatus | virtio::kGuestAnnounce |
                      (port_.rings() > 1 ? virtio::kMq | virtio::kCtrlVq : 0),
                  2 * port_.rings()},
                 *this) {
    const uint32_t pairs = port_.rings();
    for (uint32_t i = 0; i < pairs; i++) pairs_.emplace_back(port_, i, *scratch_, neighbours());
    neighbours().join(port_.fd(), *this);
    loop_.add_port(port_.fd(), *this);
    loop_.set_spin_us(kSpin_us);
  }
  ~VhostUser() override {
    neighbours().leave(*this);
    loop_.remove_port(port_.fd());
    if (closing_) loop_.cancel(closing_);
    if (connection_) loop_.unwatch(connection_->fd());
    backend_.disconnected();
  }

  Result<void> begin(const std::string& path, bool server, bool resume) {
    link_ = std::make_unique<Link>(loop_, path, server,
                                   Link::Handlers{[this](UniqueFd fd) { connected(std::move(fd)); },
                                                  [this](const std::string& text) { reporter_.state(false, text); }});
    return link_->start(resume);
  }

  // Kind
  bool turn() override;
  bool before_sleep() override;
  void after_sleep() override;
  short port_events() override { return short((rx_blocked_ ? 0 : POLLIN) | (tx_blocked_ ? POLLOUT : 0)); }
  Json status() const override;
  void stop() override { link_->remove(); }

  // vhost_user::Device
  void ring_closing(uint32_t index) override;
  void ring_changed(uint32_t index) override;
  void memory_changed() override {}  // the queues look at its generation
  void features_changed() override {}
  uint32_t position(uint32_t index) override { return ring(index).position(); }
  void announce(const uint8_t (&mac)[6]) override;
  Result<void> set_mtu(uint16_t mtu) override {
    mtu_ = mtu;
    return {};
  }
  bool broken() const override { return broken_; }

  // Neighbour
  bool ready() override;
  virtio::Delivery take(uint32_t index, const virtio::TxPacket& packet) override;
  void finish(int from_fd, uint32_t tx_ring) override;

  void reset() override { broken_ = false; }

 private:
  // Even rings are those that the guest receives from.
  virtio::Vring& ring(uint32_t index) {
    QueuePair& pair = pairs_[index / 2];
    return index % 2 ? pair.tx().ring() : pair.rx().ring();
  }
  // All that this process serves are ports of one switch.
  static Neighbours& neighbours() {
    static Neighbours all;
    return all;
  }
  void connected(UniqueFd fd);
  void hear();
  void disconnect(const std::string& why);
  bool send();
  bool receive();
  QueuePair* receiver(uint32_t switch_ring);
  void call(uint32_t index);
  void check_rings();
  void breaks(uint32_t index, const char* why);

  const std::string name_;
  SwitchPort port_;
  Loop& loop_;
  Reporter& reporter_;
  std::unique_ptr<PairScratch> scratch_ = std::make_unique<PairScratch>();
  std::vector<QueuePair> pairs_;
  std::vector<int> watched_ = std::vector<int>(2 * kMaxPairs, -1);  // kick descriptors, by ring
  vhost_user::Backend backend_;
  std::unique_ptr<Link> link_;
  std::optional<vhost_user::Connection> connection_;
  bool broken_ = false, rx_blocked_ = false, tx_blocked_ = false, to_send_ = false;
  uint16_t mtu_ = 0;
  QueuePair* taker_ = nullptr;  // between ready() and finish()
  uint64_t taken_packets_ = 0, taken_bytes_ = 0;
  uint64_t closing_ = 0;  // timer
  uint64_t connections_ = 0, kicks_ = 0, faults_ = 0;
};

void VhostUser::connected(UniqueFd fd) {
  connection_.emplace(std::move(fd));
  connections_++;
  if (!loop_.watch(connection_->fd(), EPOLLIN, [this](uint32_t) { hear(); })) return disconnect("cannot be waited for");
  reporter_.state(true, "connected to " + link_->path());
}

void VhostUser::hear() {
  for (;;) {
    auto request = connection_->receive();
    if (!request) return disconnect(request.error().text);
    if (!*request) return;
    auto reply = backend_.handle(std::move(**request));
    if (!reply) return disconnect(reply.error().text);
    if (!*reply) continue;
    if (auto sent = connection_->send(**reply); !sent) return disconnect(sent.error().text);
  }
}

void VhostUser::disconnect(const std::string& why) {
  loop_.unwatch(connection_->fd());
  backend_.disconnected();
  broken_ = false;
  connection_.reset();
  reporter_.say(name_ + ": " + why);
  reporter_.state(false, why);
  // Not from within: a client's next connection may come at once.
  closing_ = loop_.after(0, [this] {
    closing_ = 0;
    link_->closed();
  });
}

void VhostUser::ring_closing(uint32_t index) {
  if (watched_[index] >= 0) loop_.unwatch(watched_[index]);
  watched_[index] = -1;
}

// Kicks are waited for by edges and never read: each write to an eventfd is one, and nobody can make us wait in a read.
void VhostUser::ring_changed(uint32_t index) {
  const vhost_user::Vring& told = backend_.ring(index);
  virtio::Vring& here = ring(index);
  if (told.kick && watched_[index] < 0 &&
      loop_.watch(told.kick.get(), EPOLLIN | EPOLLET, [this](uint32_t) { kicks_++; }))
    watched_[index] = told.kick.get();
  if (!told.runs()) return here.stop();
  virtio::RingSetup setup{.features = backend_.features(),
                          .size = told.size,
                          .position = told.base,
                          .descriptors = told.desc_user,
                          .driver = told.avail_user,
                          .device = told.used_user,
                          .log = told.log_used};
  // An address that changes under way, as when the log is switched on, moves the ring; it goes on where it is.
  if (here.running()) setup.position = here.position();
  virtio::RingFault why = index % 2 ? pairs_[index / 2].tx().start(backend_.memory(), setup)
                                    : pairs_[index / 2].rx().start(backend_.memory(), setup);
  if (why != virtio::RingFault::kNone) return breaks(index, virtio::describe(why));
  here.disarm();
}

void VhostUser::breaks(uint32_t index, const char* why) {
  if (broken_) return;
  broken_ = true;
  faults_++;
  reporter_.say(name_ + " queue " + std::to_string(index) + ": " + why +
                "; the device is broken until its driver resets it");
  backend_.signal_error(index);
}

// After a batch: did a driver do what it must not?
void VhostUser::check_rings() {
  for (uint32_t i = 0; i < backend_.rings() && !broken_; i++)
    if (ring(i).fault() != virtio::RingFault::kNone) breaks(i, virtio::describe(ring(i).fault()));
  if (!broken_ && backend_.memory().broken()) breaks(0, "the memory of the guest was cut short");
}

void VhostUser::call(uint32_t index) {
  uint64_t one = 1;
  const UniqueFd& fd = backend_.ring(index).call;
  if (fd && write(fd.get(), &one, sizeof one) < 0) return;  // full: the guest has not looked since
}

bool VhostUser::send() {
  uint32_t packets = 0, slots = 0;
  tx_blocked_ = false;
  for (uint32_t i = 0; i < pairs_.size(); i++) {
    if (!pairs_[i].tx().ring().running()) continue;
    QueuePair::Moved moved = pairs_[i].send();
    packets += moved.packets;
    slots += moved.slots;
    tx_blocked_ |= moved.blocked;
    if (moved.call) call(2 * i + 1);
  }
  if (slots > 0 || to_send_ || tx_blocked_) port_.sync_tx();
  to_send_ = false;
  return packets > 0;
}

// The pair that takes what came in on this ring of the switch port: a guest may use fewer queues than there are.
QueuePair* VhostUser::receiver(uint32_t switch_ring) {
  for (uint32_t i = 0; i < pairs_.size(); i++) {
    QueuePair& pair = pairs_[(switch_ring + i) % pairs_.size()];
    if (pair.rx().ring().running()) return &pair;
  }
  return nullptr;
}

bool VhostUser::receive() {
  uint32_t packets = 0;
  port_.sync_rx();
  rx_blocked_ = false;
  for (uint32_t i = 0; i < port_.rings(); i++) {
    if (port_.rx(i).empty()) continue;
    QueuePair* pair = broken_ ? nullptr : receiver(i);
    if (!pair) {
      packets += pairs_[0].discard(i);
      continue;
    }
    QueuePair::Moved moved = pair->receive(i);
    packets += moved.packets;
    rx_blocked_ |= moved.blocked;
    if (moved.call) call(2 * uint32_t(pair - pairs_.data()));
  }
  return packets > 0;
}

bool VhostUser::ready() {
  if (broken_) return false;
  receive();
  if (rx_blocked_) return false;
  for (uint32_t i = 0; i < port_.rings(); i++)
    if (!port_.rx(i).empty()) return false;
  taker_ = nullptr;
  taken_packets_ = taken_bytes_ = 0;
  return receiver(0) != nullptr;
}

virtio::Delivery VhostUser::take(uint32_t index, const virtio::TxPacket& packet) {
  if (!taker_) taker_ = receiver(index);
  if (!taker_) return virtio::Delivery::kBroken;
  virtio::Delivery done = taker_->take(packet);
  if (done == virtio::Delivery::kDone) {
    taken_packets_++;
    taken_bytes_ += packet.bytes;
  }
  return done;
}

void VhostUser::finish(int from_fd, uint32_t tx_ring) {
  if (!taker_) return;
  uint32_t index = uint32_t(taker_ - pairs_.data());
  if (taker_->take_end()) call(2 * index);
  unetmap_count_routed(from_fd, tx_ring, port_.fd(), index % port_.rings(), taken_packets_, taken_bytes_);
  taker_ = nullptr;
}

bool VhostUser::turn() {
  bool moved = !broken_ && send();
  moved = receive() || moved;
  check_rings();
  return moved;
}

bool VhostUser::before_sleep() {
  if (broken_) return true;
  bool work = false;
  for (QueuePair& pair : pairs_) {
    if (pair.tx().ring().running() && !tx_blocked_) work = pair.tx().arm() || work;
    if (pair.rx().ring().running() && rx_blocked_) work = pair.rx().arm(scratch_->batch) || work;
  }
  return !work;
}

void VhostUser::after_sleep() {
  for (QueuePair& pair : pairs_) {
    if (pair.tx().ring().running()) pair.tx().disarm();
    if (pair.rx().ring().running()) pair.rx().disarm();
  }
}

// After a migration the switch has to learn that the guest is here: a RARP request of its address, as is the custom.
void VhostUser::announce(const uint8_t (&mac)[6]) {
  uint8_t frame[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  memcpy(frame + 6, mac, 6);
  const uint8_t rarp[] = {0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3};
  memcpy(frame + 12, rarp, sizeof rarp);
  memcpy(frame + 22, mac, 6);
  memcpy(frame + 32, mac, 6);
  if (pairs_[0].inject(frame)) to_send_ = true;
}

Json VhostUser::status() const {
  uint64_t rx_packets = 0, rx_bytes = 0, tx_packets = 0, tx_bytes = 0, calls = 0, lost_no_driver = 0, lost_convert = 0,
           lost_header = 0;
  for (const QueuePair& pair : pairs_) {
    const virtio::RxCounters& rx = pair.rx().counters();
    const virtio::TxCounters& tx = pair.tx().counters();
    rx_packets += rx.packets;
    rx_bytes += rx.bytes;
    tx_packets += tx.packets;
    tx_bytes += tx.bytes;
    calls += rx.calls + tx.calls;
    lost_no_driver += pair.counters().lost_no_driver;
    lost_convert += pair.counters().lost_convert + rx.bad_header + rx.too_long;
    for (uint64_t count : tx.dropped) lost_header += count;
    lost_header += pair.counters().lost_too_long;
  }
  char features[24];
  snprintf(features, sizeof features, "%#llx", static_cast<unsigned long long>(backend_.features()));
  return {{"rx_packets", rx_packets},
          {"rx_bytes", rx_bytes},
          {"tx_packets", tx_packets},
          {"tx_bytes", tx_bytes},
          {"lost_no_driver", lost_no_driver},
          {"lost_convert", lost_convert},
          {"lost_header", lost_header},
          {"kicks", kicks_},
          {"calls", calls},
          {"connections", connections_},
          {"faults", faults_},
          {"broken", broken_},
          {"features", features},
          {"mtu", mtu_},
          {"memory_regions", backend_.memory_regions()}};
}

}  // namespace

Result<std::unique_ptr<Kind>> start_vhost_user(Start start) {
  auto endpoint = endpoint_parameters(start.parameters);
  if (!endpoint) return endpoint.error();
  auto port = SwitchPort::open(start.port, kHeaderBytes);
  if (!port) return port.error();
  if (port->rings() > kMaxPairs)
    return Error{EINVAL, start.port + ": a virtual machine has at most " + std::to_string(kMaxPairs) + " queue pairs"};
  auto kind = std::make_unique<VhostUser>(start.port, std::move(*port), start.loop, start.reporter);
  auto begun = kind->begin(endpoint->path, endpoint->server, start.parameters.contains("resume"));
  if (!begun) return begun.error();
  return std::unique_ptr<Kind>(std::move(kind));
}

}  // namespace unetmap::worker
