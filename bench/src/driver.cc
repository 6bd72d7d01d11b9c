// SPDX-License-Identifier: BSD-2-Clause
// Our own drivers (src/driver) at native speed, in a process of their own: netmap rings over the rings of a port that
// is plugged as a card (vfio-user), as a virtio device (vhost-user), or passed through, of which nothing is mapped but
// the BAR. Like the clients of the peers it gives the CPU away whenever it found nothing to do; a sender also once a
// ring, which was the best of the values tried.
//   bench-driver tx|rx virtio-net|e1000|e1000-paravirt|passthrough SOCKET FRAME_LENGTH COUNTER_FILE
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <new>
#include <optional>
#include <vector>

#include "dev/virtio_net/features.hh"
#include "driver/e1000/device.hh"
#include "driver/e1000/rings.hh"
#include "driver/mapped_registers.hh"
#include "driver/passthrough/device.hh"
#include "driver/passthrough/rings.hh"
#include "driver/virtio_net/rings.hh"
#include "vfio_client.hh"
#include "vhost_client.hh"

namespace {

using namespace unetmap;
using driver::kPageBytes;

// As the rings of an interface: buffers that begin 256 bytes into their piece.
constexpr uint32_t kSlots = 1024, kBuffers = 2 * kSlots + 4, kBufSize = 2048, kHeadroom = 256;
constexpr uint64_t kShared = 0x10'0000;  // where the device finds the first page

void pause_for(uint32_t microseconds) { usleep(microseconds); }

// What the keeper and the library have of a device: netmap's slots and buffers, pages for the device.
class Machine {
 public:
  explicit Machine(uint32_t slots)
      : slots(slots), fd_(memfd_create("guest", MFD_CLOEXEC)), tx_slots_(slots), rx_slots_(slots) {
    const uint64_t bytes = this->bytes();
    if (fd_ < 0 || ftruncate(fd_, off_t(bytes)) < 0) peer::fail("make", "guest memory");
    void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_, 0);
    if (at == MAP_FAILED) peer::fail("mmap", "guest memory");
    at_ = static_cast<uint8_t*>(at);
    for (uint64_t page = 0; page < bytes / kPageBytes; page++) pages_.push_back(kShared + page * kPageBytes);
    for (uint32_t i = 0; i < slots; i++) {
      tx_slots_[i].buf_idx = 2 + i;
      rx_slots_[i].buf_idx = 2 + slots + i;
    }
  }
  int fd() const { return fd_; }
  uint8_t* at() const { return at_; }
  static constexpr uint64_t bytes() {
    return uint64_t{driver::kPartPages * driver::kDmaPages + kBuffers * kBufSize / kPageBytes} * kPageBytes;
  }
  // The first page of a part.
  uint8_t* page(uint32_t number) const { return at_ + uint64_t{number} * driver::kPartPages * kPageBytes; }
  // Has its buffers elsewhere.
  void use(const driver::BufferMemory& memory) { memory_ = memory; }
  driver::Ring tx() { return {tx_slots_.data(), slots, 0, buffers()}; }
  driver::Ring rx() { return {rx_slots_.data(), slots, 0, buffers()}; }
  driver::DeviceSettings settings() const {
    driver::DeviceSettings out{.mac = {2, 0, 0, 0, 0, 9}, .promiscuous = true};
    for (uint32_t i = 0; i < driver::kDmaPages; i++) out.page_addresses[i] = pages_[driver::kPartPages * i];
    return out;
  }

  const uint32_t slots;
  driver::Shared shared{};

 private:
  static constexpr uint32_t kBufferPage = driver::kPartPages * driver::kDmaPages;
  driver::BufferMemory buffers() const {
    if (memory_) return *memory_;
    return {page(driver::kDmaPages) + kHeadroom, kBuffers, kBufSize, kHeadroom, pages_.data() + kBufferPage,
            pages_.size() - kBufferPage};
  }
  int fd_;
  uint8_t* at_ = nullptr;
  std::vector<uint64_t> pages_;
  std::optional<driver::BufferMemory> memory_;
  std::vector<netmap_slot> tx_slots_, rx_slots_;
};

// A device with its two queues.
class Port {
 public:
  virtual ~Port() = default;
  Machine& machine() { return *machine_; }
  driver::TxQueue& tx() { return *tx_; }
  driver::RxQueue& rx() { return *rx_; }

 protected:
  std::unique_ptr<Machine> machine_;
  std::unique_ptr<driver::TxQueue> tx_;
  std::unique_ptr<driver::RxQueue> rx_;
};

class E1000 final : public Port, public driver::Registers {
 public:
  E1000(const char* path, bool paravirt) : client_(path) {
    machine_ = std::make_unique<Machine>(driver::kMostDescriptors);
    client_.share(machine_->fd(), kShared, Machine::bytes());
    client_.write(vfio_user::kConfig, 4, 7);  // memory, input/output, bus master
    driver::E1000Device device(*this);
    driver::DeviceSettings settings = machine_->settings();
    settings.paravirt = paravirt;
    settings.control_page = machine_->page(driver::kControl);
    if (auto done = device.start(settings, machine_->shared, pause_for); !done) {
      errno = done.error().code;
      peer::fail(done.error().text.c_str(), path);
    }
    const driver::E1000Tails tails(*this, paravirt ? settings.control_page : nullptr);
    tx_ = std::make_unique<driver::E1000Tx>(tails, machine_->shared, machine_->page(driver::kTxDescriptors),
                                            machine_->tx());
    rx_ = std::make_unique<driver::E1000Rx>(tails, machine_->shared, machine_->page(driver::kRxDescriptors),
                                            machine_->rx());
  }
  uint32_t read(uint32_t offset, unsigned) override { return client_.read(offset); }
  void write(uint32_t offset, uint32_t value, unsigned) override { client_.write(offset, value); }

 private:
  peer::VfioClient client_;
};

// The registers are the eventfds that QEMU would write to for a notification.
class VirtioNet final : public Port, public driver::Registers {
 public:
  explicit VirtioNet(const char* path) {
    machine_ = std::make_unique<Machine>(driver::kMostDescriptors);
    client_.emplace(path, virtio::kVersion1, machine_->fd(), machine_->at(), Machine::bytes(), kShared);
    driver::Shared& shared = machine_->shared;
    shared.model = driver::Model::kVirtioNet;
    shared.descriptors = machine_->slots;
    shared.most_bytes = UINT16_MAX;
    shared.headers_address = machine_->settings().page_addresses[driver::kHeaders];
    driver::PairState& state = shared.pairs[0];
    for (uint32_t i = 0; i < shared.descriptors; i++) {
      state.tx.free_ids[i] = i;
      state.rx.ids[i] = i;
    }
    state.tx.free_count = shared.descriptors;
    const driver::VringPages rx = pages(driver::kRxDescriptors), tx = pages(driver::kTxDescriptors);
    tx_ = driver::virtio_tx(*this, shared, 0, tx, machine_->tx());
    rx_ = driver::virtio_rx(*this, shared, 0, rx, machine_->rx());
    start_ring(driver::rx_queue_number(0), rx);
    start_ring(driver::tx_queue_number(0), tx);
  }
  uint32_t read(uint32_t, unsigned) override { return UINT32_MAX; }
  void write(uint32_t, uint32_t value, unsigned) override {
    if (value < 2) client_->notify(value);
  }

 private:
  driver::VringPages pages(uint32_t first) const {
    return {machine_->page(first), machine_->page(first + 1), machine_->page(first + 2)};
  }
  void start_ring(uint32_t number, const driver::VringPages& at) {
    client_->start_ring(number, machine_->slots, at.descriptors, at.driver, at.device);
  }

  std::optional<peer::VhostClient> client_;
};

// Of a guest's: the BAR with the rings, and a doorbell.
class Passthrough final : public Port, public driver::Registers {
 public:
  explicit Passthrough(const char* path) : socket_(peer::connect_to(path)) {
    int fds[3] = {-1, -1, -1};
    for (int i = 0; i < 5; i++) {
      const int fd = next();
      if (i >= 2) fds[i - 2] = fd;
    }
    struct stat info;
    if (fstat(fds[0], &info) < 0) peer::fail("look at the memory", path);
    const auto bytes = size_t(info.st_size);
    void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fds[0], 0);
    if (at == MAP_FAILED) peer::fail("mmap", path);
    bell_ = fds[1];
    const std::span bar(static_cast<uint8_t*>(at), bytes);
    const auto memory = driver::PassedMemory::of(bar);
    if (!memory || memory->slots() > kSlots) peer::fail("is no port, or has too many slots", path);
    machine_ = std::make_unique<Machine>(memory->slots());
    machine_->use(memory->buffers());
    driver::PassedDevice device(*this, passthrough::kDoorbell, bar);
    if (auto done = device.start({}, machine_->shared, pause_for); !done) {
      errno = done.error().code;
      peer::fail(done.error().text.c_str(), path);
    }
    tx_ = std::make_unique<driver::PassedTx>(*this, machine_->shared, 0, *memory, machine_->tx());
    rx_ = std::make_unique<driver::PassedRx>(*this, machine_->shared, 0, *memory, machine_->rx());
  }
  uint32_t read(uint32_t, unsigned) override { return UINT32_MAX; }
  void write(uint32_t, uint32_t, unsigned) override { (void)eventfd_write(bell_, 1); }

 private:
  // The descriptor of the server's next message, if it has one.
  int next() const {
    int64_t value = 0;
    int fd = -1;
    peer::receive_message(socket_, &value, sizeof value, &fd);
    return fd;
  }

  int socket_, bell_ = -1;
};

// As pkt-gen: a header in each buffer, as many slots as there are, up to a batch.
void transmit(Port& port, uint32_t bytes, peer::Counters& counters) {
  constexpr uint32_t kBatch = 512;
  uint8_t header[14];
  peer::build_frame(header, sizeof header);
  const driver::Ring ring = port.machine().tx();
  uint32_t head = 0, hwcur = 0, hwtail = ring.num_slots - 1;
  uint64_t since_yield = 0;
  driver::Tally sent;
  while (!peer::stop) {
    const uint32_t count = std::min(ring.distance(head, hwtail), kBatch);
    for (uint32_t i = 0; i < count; i++, head = ring.next(head)) {
      netmap_slot& slot = ring.slots[head];
      std::memcpy(ring.memory.at(slot.buf_idx), header, sizeof header);
      slot.len = uint16_t(bytes);
      slot.flags = 0;
    }
    const uint64_t before = sent.packets;
    port.tx().sync(sent, hwcur, hwtail, head, false);
    counters.add(sent.packets - before, (sent.packets - before) * bytes);
    since_yield += sent.packets - before;
    if ((sent.packets == before && head == hwtail) || since_yield >= ring.num_slots) {
      since_yield = 0;
      sched_yield();
    }
  }
}

void announce(Port& port) {
  const driver::Ring ring = port.machine().tx();
  netmap_slot& slot = ring.slots[0];
  peer::build_frame(ring.memory.at(slot.buf_idx), peer::kHelloFrame, true);
  slot.len = peer::kHelloFrame;
  uint32_t hwcur = 0, hwtail = ring.num_slots - 1;
  driver::Tally sent;
  port.tx().sync(sent, hwcur, hwtail, 1, false);
}

void receive(Port& port, peer::Counters& counters) {
  announce(port);  // so that the switch knows where this one is
  const driver::Ring ring = port.machine().rx();
  uint32_t head = 0, tail = 0;
  uint64_t checksum = 0;
  driver::Tally got;
  while (!peer::stop) {
    port.rx().sync(got, head, tail, false);
    if (head == tail) sched_yield();
    uint64_t packets = 0, bytes = 0;
    for (; head != tail; head = ring.next(head)) {
      const netmap_slot& slot = ring.slots[head];
      packets++;
      bytes += slot.len;
      checksum += *ring.memory.at(slot.buf_idx);
    }
    counters.add(packets, bytes);
  }
  // Keeps the reads of the frames from being optimised away.
  std::fprintf(stderr, "checksum of first bytes %lu, %lu corrupt\n", static_cast<unsigned long>(checksum),
               static_cast<unsigned long>(got.corrupt));
}

std::unique_ptr<Port> open_port(const char* kind, const char* path) {
  if (!std::strcmp(kind, "virtio-net")) return std::make_unique<VirtioNet>(path);
  if (!std::strcmp(kind, "e1000")) return std::make_unique<E1000>(path, false);
  if (!std::strcmp(kind, "e1000-paravirt")) return std::make_unique<E1000>(path, true);
  if (!std::strcmp(kind, "passthrough")) return std::make_unique<Passthrough>(path);
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  const bool known = argc == 6 && (!std::strcmp(argv[1], "tx") || !std::strcmp(argv[1], "rx"));
  auto port = known ? open_port(argv[2], argv[3]) : nullptr;
  if (!port) {
    std::fprintf(
        stderr,
        "usage: bench-driver tx|rx virtio-net|e1000|e1000-paravirt|passthrough SOCKET FRAME_LENGTH COUNTER_FILE\n");
    return 2;
  }
  const auto bytes = uint32_t(peer::parse_frame_length(argv[4]));
  peer::Counters counters(argv[5]);
  peer::stop_on_signal();
  argv[1][0] == 't' ? transmit(*port, bytes, counters) : receive(*port, counters);
}
