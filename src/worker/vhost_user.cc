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

#include "base/bell.hh"
#include "proto/vhost_user/backend.hh"
#include "worker/kinds.hh"
#include "worker/unix_socket.hh"
#include "worker/vhost_user_pair.hh"

namespace unetmap::worker {
namespace {

constexpr uint32_t kMaxPairs = 32, kVirtioHeaderBytes = 12;
constexpr uint32_t kGuestSpin_us = 50;  // of looking on after the last packet
constexpr int64_t kPolled_ms = 1;       // between looks at idle rings that have no kick descriptor
// A ring that is kicked, and in which nothing was ever written: so often, and for so long, before it is told.
constexpr uint32_t kEmptyKicks = 2;
constexpr int64_t kEmptyKicks_ms = 500;
constexpr int64_t kSilence_ms = 3000;  // after which a peer that said nothing is told of

// What is wrong with a ring, and where that may be no fault of its driver's.
std::string described(virtio::RingFault fault) {
  std::string out = virtio::describe(fault);
  if (fault == virtio::RingFault::kOutsideMemory || fault == virtio::RingFault::kRingOutsideMemory)
    out +=
        ", as far as it is shared with us (QEMU: memory-backend-memfd with share=on, also for what is plugged in "
        "later)";
  return out;
}

class VhostUser final : public Kind, public vhost_user::Device, public Neighbour {
 public:
  VhostUser(std::string name, SwitchPort port, Loop& loop, Reporter& reporter)
      : name_(std::move(name)),
        port_(std::move(port)),
        loop_(loop),
        reporter_(reporter),
        // An announcement is acknowledged on the control queue: there is none without the other.
        backend_({virtio::kDataPathFeatures | virtio::kMtu | virtio::kStatus |
                      (port_.rings() > 1 ? virtio::kMq | virtio::kCtrlVq | virtio::kGuestAnnounce : 0),
                  virtio::kStatus, 2 * port_.rings()},
                 *this) {
    const uint32_t pairs = port_.rings();
    for (uint32_t i = 0; i < pairs; i++) pairs_.emplace_back(port_, i, *scratch_, neighbours());
    neighbours().join(port_.fd(), *this);
    loop_.add_port(port_.fd(), *this);
    loop_.set_spin_us(kGuestSpin_us);
  }
  ~VhostUser() override {
    neighbours().leave(*this);
    loop_.remove_port(port_.fd());
    for (uint64_t timer : {closing_, polling_, doubting_, silence_})
      if (timer) loop_.cancel(timer);
    if (connection_) loop_.unwatch(connection_->fd());
    backend_.disconnected();
  }

  Result<void> begin(const std::string& path, bool server, bool resume) {
    link_ = std::make_unique<Link>(
        loop_, path, server,
        Link::Handlers{[this](UniqueFd fd) { connected(std::move(fd)); },
                       [this](const std::string& text) { reporter_.state(false, text); }, [this] { tell(); }});
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
  void call_changed(uint32_t index) override;
  void memory_changed() override {}  // the queues look at its generation
  void features_changed() override {}
  uint32_t position(uint32_t index) override { return ring(index).position(); }
  void announce(const uint8_t (&mac)[6]) override;
  Result<void> set_mtu(uint16_t mtu) override {
    mtu_ = mtu;
    return {};
  }
  bool broken() const override { return broken_; }
  void refused(const std::string& why) override { reporter_.say(name_ + ": refused " + why); }
  void reset() override { mend(); }

  // Neighbour
  bool ready() override;
  bool take(uint32_t index, const Passing& packet) override;
  void finish(int from_fd, uint32_t tx_ring) override;

 private:
  // Even rings are those that the guest receives from.
  virtio::Vring& ring(uint32_t index) {
    QueuePair& pair = pairs_[index / 2];
    return index % 2 ? pair.tx().ring() : pair.rx().ring();
  }
  static Neighbours& neighbours() { return Neighbours::here(); }
  void connected(UniqueFd fd);
  void hear();
  void first_heard();
  std::string early_end() const;
  void disconnect(const std::string& why);
  bool send();
  bool receive();
  QueuePair* receiver(uint32_t switch_ring);
  void call(uint32_t index);
  void kicked(uint32_t index);
  void doubt();
  void check_rings();
  void breaks(uint32_t index, const std::string& why);
  void mend();
  void tell();

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
  bool try_again_ = false;  // tx_blocked_, but the next turn may find room
  uint32_t broken_ring_ = 0;
  bool heard_ = false;
  bool ran_ = false;      // a queue has, since the front-end connected
  bool doubted_ = false;  // the memory that we see is not the guest's
  std::string trouble_;   // what is told of the device behind "connected to ..."
  std::vector<uint32_t> empty_kicks_ = std::vector<uint32_t>(2 * kMaxPairs, 0);  // by ring
  uint16_t mtu_ = 0;
  QueuePair* taker_ = nullptr;  // between ready() and finish()
  uint64_t taken_packets_ = 0, taken_bytes_ = 0;
  uint64_t closing_ = 0, polling_ = 0, doubting_ = 0, silence_ = 0;  // timers
  uint64_t connections_ = 0, kicks_ = 0, faults_ = 0;
};

void VhostUser::connected(UniqueFd fd) {
  connection_.emplace(std::move(fd));
  connections_++;
  ran_ = false;
  if (!loop_.watch(connection_->fd(), EPOLLIN, [this](uint32_t) { hear(); })) return disconnect("cannot be waited for");
  trouble_.clear();
  heard_ = false;
  silence_ = loop_.after(kSilence_ms, [this] {
    silence_ = 0;
    trouble_ = link_->server() ? "whoever connected has said nothing: it is no vhost-user front-end"
                               : "nothing was said there: it is no vhost-user front-end, which speaks first; two "
                                 "back-ends cannot be joined so";
    reporter_.say(name_ + ": " + link_->path() + ": " + trouble_);
    tell();
  });
}

// The first word of a connection.
void VhostUser::first_heard() {
  heard_ = true;
  if (silence_) loop_.cancel(silence_);
  if (silence_ == 0) {
    trouble_.clear();
    tell();
  }
  silence_ = 0;
}

// How the connection is, and what is the matter with the device; on each change.
void VhostUser::tell() {
  if (!connection_ || !link_->spoken_of()) return;
  reporter_.state(true, "connected to " + link_->path() + (trouble_.empty() ? "" : "; " + trouble_));
}

void VhostUser::hear() {
  for (;;) {
    auto request = connection_->receive();
    if (!request) return disconnect(request.error().text);
    if (!*request) return;
    if (!heard_) first_heard();
    auto reply = backend_.handle(std::move(**request));
    if (!reply) return disconnect(reply.error().text);
    if (!*reply) continue;
    if (auto sent = connection_->send(**reply); !sent) return disconnect(sent.error().text);
  }
}

// One that looks at what there is and leaves may come again for ever.
std::string VhostUser::early_end() const {
  return ", before any queue ran; its own messages may say why. The port has " + std::to_string(port_.rings()) +
         " pairs of queues: one that wants more is plugged with --rings";
}

void VhostUser::disconnect(const std::string& why) {
  loop_.unwatch(connection_->fd());
  connection_.reset();
  if (silence_) loop_.cancel(silence_);
  silence_ = 0;
  backend_.disconnected();
  broken_ = doubted_ = false;
  if (link_->spoken_of()) {
    reporter_.say(name_ + ": " + why + (ran_ ? "" : early_end()));
    reporter_.state(false, why);
  }
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
      loop_.watch(told.kick.get(), EPOLLIN | EPOLLET, [this, index](uint32_t) { kicked(index); }))
    watched_[index] = told.kick.get();
  if (!told.runs()) {
    here.stop();
    // A guest that begins anew has its rings stopped and set up again, with a status to reset by or without.
    if (broken_ && (index == broken_ring_ || !backend_.any_runs())) mend();
    return;
  }
  virtio::RingSetup setup{.features = backend_.features(),
                          .size = told.size,
                          .position = told.base,
                          .descriptors = told.desc_user,
                          .driver = told.avail_user,
                          .device = told.used_user,
                          .log = told.log_used,
                          .log_at = told.log_guest};
  // An address that changes under way, as when the log is switched on, moves the ring; it goes on where it is.
  const bool goes_on = here.running();
  if (goes_on) setup.position = here.position();
  empty_kicks_[index] = 0;
  virtio::RingFault why = index % 2 ? pairs_[index / 2].tx().start(backend_.memory(), setup)
                                    : pairs_[index / 2].rx().start(backend_.memory(), setup);
  if (why != virtio::RingFault::kNone) return breaks(index, described(why));
  ran_ = true;
  link_->carried();
  if (!goes_on) call_changed(index);
  here.disarm();
}

// What was given back while there was no descriptor, as by a worker that died, was told to nobody.
void VhostUser::call_changed(uint32_t index) {
  if (ring(index).running() && ring(index).call_overdue()) call(index);
}

void VhostUser::kicked(uint32_t index) {
  kicks_++;
  if (!ring(index).running()) return;
  if (ring(index).taken() > 0) {
    if (doubted_ && !broken_) mend();
    return;
  }
  if (++empty_kicks_[index] < kEmptyKicks || doubting_ || doubted_) return;
  doubting_ = loop_.after(kEmptyKicks_ms, [this] {
    doubting_ = 0;
    doubt();
  });
}

// Kicks come, and the rings are as empty as memory that nobody ever wrote: what the front-end gave us is not what its
// guest writes to.
void VhostUser::doubt() {
  for (uint32_t i = 0; i < backend_.rings() && !broken_; i++) {
    if (empty_kicks_[i] < kEmptyKicks || !ring(i).running() || ring(i).taken() > 0 || !ring(i).untouched()) continue;
    doubted_ = true;
    trouble_ = "broken: queue " + std::to_string(i) +
               " is kicked and nothing is ever in it, so the guest's memory is not shared with us (QEMU: -object "
               "memory-backend-memfd,id=mem,size=SIZE,share=on -numa node,memdev=mem)";
    reporter_.say(name_ + ": " + trouble_);
    return tell();
  }
}

void VhostUser::mend() {
  if (!broken_ && !doubted_) return;
  broken_ = doubted_ = false;
  trouble_.clear();
  tell();
}

void VhostUser::breaks(uint32_t index, const std::string& why) {
  if (broken_) return;
  broken_ = true;
  broken_ring_ = index;
  faults_++;
  reporter_.say(name_ + " queue " + std::to_string(index) + ": " + why +
                "; the device is broken until its driver resets it");
  trouble_ = "broken until its driver resets it: queue " + std::to_string(index) + ": " + why;
  tell();
  if (const UniqueFd& err = backend_.ring(index).err) (void)ring_bell(err.get());
}

// After a batch: did a driver do what it must not?
void VhostUser::check_rings() {
  for (uint32_t i = 0; i < backend_.rings() && !broken_; i++)
    if (ring(i).fault() != virtio::RingFault::kNone) breaks(i, described(ring(i).fault()));
  if (!broken_ && backend_.memory().broken()) breaks(0, "the memory of the guest was cut short");
}

void VhostUser::call(uint32_t index) {
  const UniqueFd& fd = backend_.ring(index).call;
  if (fd && ring_bell(fd.get()) == Rung::kBlocked) breaks(index, "its call descriptor is full, and blocks");
}

bool VhostUser::send() {
  uint32_t packets = 0, slots = 0;
  tx_blocked_ = try_again_ = false;
  for (uint32_t i = 0; i < pairs_.size(); i++) {
    if (!pairs_[i].tx().ring().running()) continue;
    QueuePair::Moved moved = pairs_[i].send();
    packets += moved.packets;
    slots += moved.slots;
    tx_blocked_ |= moved.blocked;
    try_again_ |= moved.held;
    if (moved.call) call(2 * i + 1);
  }
  uint32_t room = tx_blocked_ ? port_.tx_room() : 0;
  if (slots > 0 || to_send_ || port_.tx_pending()) port_.sync_tx();
  try_again_ |= tx_blocked_ && port_.tx_room() != room;
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
  for (uint32_t i = 0; i < pairs_.size(); i++) {
    if (!pairs_[i].cut_short() || broken_ || !pairs_[i].rx().ring().running()) continue;
    QueuePair::Moved moved = pairs_[i].deliver_rest();
    packets += moved.packets;
    rx_blocked_ |= moved.blocked;
    if (moved.call) call(2 * i);
  }
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

bool VhostUser::take(uint32_t index, const Passing& packet) {
  if (!taker_) taker_ = receiver(index);
  if (!taker_) return true;  // counted by nobody: its queue has just stopped
  virtio::Delivery done = taker_->take(packet);
  if (done == virtio::Delivery::kDone) {
    taken_packets_++;
    taken_bytes_ += packet.bytes;
  }
  return done != virtio::Delivery::kNoBuffers;
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
  if (tx_blocked_) port_.ask_for_more_room();
  if (broken_) return true;
  bool work = try_again_, polled = false;
  for (uint32_t i = 0; i < backend_.rings(); i++) polled = polled || (backend_.ring(i).polled() && ring(i).running());
  if (polled && !polling_) polling_ = loop_.after(kPolled_ms, [this] { polling_ = 0; });
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
           lost_header = 0, lost_buffers = 0;
  for (const QueuePair& pair : pairs_) {
    const virtio::RxCounters& rx = pair.rx().counters();
    const virtio::TxCounters& tx = pair.tx().counters();
    rx_packets += rx.packets;
    rx_bytes += rx.bytes;
    tx_packets += tx.packets;
    tx_bytes += tx.bytes;
    calls += rx.calls + tx.calls;
    lost_no_driver += pair.counters().lost_no_driver;
    lost_convert += pair.counters().lost_convert + rx.bad_header;
    lost_buffers += rx.too_long + rx.too_many_pieces;
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
          {"lost_buffers", lost_buffers},
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
  auto port = SwitchPort::open(start.port, kVirtioHeaderBytes);
  if (!port) return port.error();
  if (port->rings() > kMaxPairs)
    return Error{EINVAL, start.port + ": a virtual machine has at most " + std::to_string(kMaxPairs) + " queue pairs"};
  auto kind = std::make_unique<VhostUser>(start.port, std::move(*port), start.loop, start.reporter);
  auto begun = kind->begin(endpoint->path, endpoint->server, start.parameters.contains("resume"));
  if (!begun) return begun.error();
  prepare_bells();
  return std::unique_ptr<Kind>(std::move(kind));
}

}  // namespace unetmap::worker
