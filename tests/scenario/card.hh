// SPDX-License-Identifier: BSD-2-Clause
// A virtual machine with an e1000, without a machine: guest memory, a driver of the card, and a vfio-user client that
// connects to the socket of a plugged port, as QEMU does. Everything is done in the calling thread, when asked.
#pragma once

#include <sys/un.h>

#include <memory>

#include "flows.hh"
#include "proto/vfio_user/test_client.hh"

namespace card {

using namespace unetmap;
using vfio_user::Command;
using vfio_user::TestClient;

using Bytes = std::vector<uint8_t>;

class Card {
 public:
  static constexpr uint32_t kSlots = 64, kBufferBytes = 2048;
  static constexpr uint64_t kTxRing = 0x10000, kRxRing = 0x20000, kTxBuffers = 0x100000, kRxBuffers = 0x200000,
                            kMemory = 0x400000;
  // Registers and bits, by the manual.
  static constexpr uint32_t kCtrl = 0x0, kStatus = 0x8, kIcr = 0xc0, kIcs = 0xc8, kIms = 0xd0, kImc = 0xd8, kRctl = 0x100,
                            kTctl = 0x400, kRal0 = 0x5400, kRah0 = 0x5404;
  static constexpr uint32_t kRdbal = 0x2800, kRdlen = 0x2808, kRdh = 0x2810, kRdt = 0x2818, kTdbal = 0x3800,
                            kTdlen = 0x3808, kTdh = 0x3810, kTdt = 0x3818;

  explicit Card(std::string path) : path_(std::move(path)), memory_(vfio_user::test_memfd(kMemory)) {
    at_ = static_cast<uint8_t*>(mmap(nullptr, kMemory, PROT_READ | PROT_WRITE, MAP_SHARED, memory_.get(), 0));
  }
  ~Card() { munmap(at_, kMemory); }
  Card(const Card&) = delete;

  // As QEMU begins; false when nobody serves the socket.
  bool connect() {
    UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    strncpy(name.sun_path, path_.c_str(), sizeof name.sun_path - 1);
    if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) < 0) return false;
    client = std::make_unique<TestClient>(std::move(fd));
    if (!ask(Command::kVersion, TestClient::bytes_of(vfio_user::Version{0, 0}))) return false;
    if (!map()) return false;
    vfio_user::SetIrqs irqs{sizeof irqs, vfio_user::kDataEventfd | vfio_user::kActionTrigger, vfio_user::kIntx, 0, 1};
    return ask(Command::kSetIrqs, TestClient::bytes_of(irqs), {interrupt.get()});
  }
  bool map() {
    vfio_user::DmaMap map{sizeof map, 3, 0, 0, kMemory};
    return ask(Command::kDmaMap, TestClient::bytes_of(map), {memory_.get()});
  }
  bool unmap() { return ask(Command::kDmaUnmap, TestClient::bytes_of(vfio_user::DmaUnmap{24, 0, 0, kMemory})); }

  // As a driver begins. Without `master` the card may not touch memory.
  void start(bool master = true) {
    write(kTctl, 0);  // else what lies in the ring from before goes out as soon as it may
    write(kRctl, 0);
    config_write(4, master ? 7 : 3);
    write(kTdbal, kTxRing);
    write(kTdlen, 16 * kSlots);
    write(kTdh, 0);
    write(kTdt, 0);
    write(kRdbal, kRxRing);
    write(kRdlen, 16 * kSlots);
    write(kRdh, 0);
    write(kRdt, 0);
    tx_tail_ = tx_clean_ = rx_next_ = 0;
    for (uint32_t i = 0; i < kSlots; i++) post(i);
    write(kRctl, 0x801a);  // on, all packets, broadcast
    write(kTctl, 0x4010a);
    write(kIms, 0x9d);
    write(kRdt, kSlots - 1);
    write(kCtrl, 0x40);
    (void)read(kStatus);  // what was said before has been done
  }

  // Registers. Writes are posted, as QEMU's.
  void write(uint32_t offset, uint32_t value) {
    client->send(Command::kRegionWrite,
                 TestClient::bytes_of(vfio_user::RegionAccess{offset, 0, 4}) + TestClient::bytes_of(value), {},
                 vfio_user::kNoReply);
  }
  uint32_t read(uint32_t offset) { return region_read(0, offset); }
  void config_write(uint32_t offset, uint32_t value) {
    client->send(
        Command::kRegionWrite,
        TestClient::bytes_of(vfio_user::RegionAccess{offset, vfio_user::kConfig, 4}) + TestClient::bytes_of(value), {},
        vfio_user::kNoReply);
  }
  uint32_t config_read(uint32_t offset) { return region_read(vfio_user::kConfig, offset); }

  // Queues a frame; false when the driver has no room.
  bool send(const Bytes& frame) {
    while (tx_clean_ != tx_tail_ && at_[kTxRing + 16 * (tx_clean_ % kSlots) + 12] & 1) tx_clean_++;
    if (tx_tail_ - tx_clean_ == kSlots - 1) return false;
    const uint32_t slot = tx_tail_ % kSlots;
    const uint64_t buffer = kTxBuffers + slot * kBufferBytes;
    memcpy(at_ + buffer, frame.data(), frame.size());
    descriptor(kTxRing, slot, buffer, uint32_t(frame.size()) | 0x0b000000);  // whole, checksum, report
    tx_tail_++;
    write(kTdt, tx_tail_ % kSlots);
    return true;
  }
  // The frames that have come.
  std::vector<Bytes> receive() {
    std::vector<Bytes> out;
    for (;; rx_next_++) {
      const uint32_t slot = rx_next_ % kSlots;
      const uint8_t* const at = at_ + kRxRing + 16 * slot;
      if (!(__atomic_load_n(at + 12, __ATOMIC_ACQUIRE) & 1)) break;
      uint16_t bytes;
      memcpy(&bytes, at + 8, sizeof bytes);
      const uint8_t* const from = at_ + kRxBuffers + slot * kBufferBytes;
      out.emplace_back(from, from + bytes);
      post(slot);
    }
    if (!out.empty()) write(kRdt, (rx_next_ + kSlots - 1) % kSlots);
    return out;
  }
  // An interrupt has come, as QEMU sees it; what the driver and QEMU do then follows.
  bool interrupted(int timeout_ms) {
    pollfd entry{interrupt.get(), POLLIN, 0};
    if (poll(&entry, 1, timeout_ms) != 1) return false;
    (void)vfio_user::events(interrupt.get());
    return true;
  }
  uint32_t acknowledge() {
    const uint32_t causes = read(kIcr);
    vfio_user::SetIrqs unmask{sizeof unmask, vfio_user::kDataNone | vfio_user::kActionUnmask, vfio_user::kIntx, 0, 1};
    EXPECT_TRUE(ask(Command::kSetIrqs, TestClient::bytes_of(unmask)));
    return causes;
  }

  bool ask(Command command, const std::string& payload = {}, const std::vector<int>& fds = {}) {
    client->send(command, payload, fds);
    if (hung_up(20000)) return false;
    return client->answer().error() == 0;
  }
  // The connection is gone; waits for that, or an answer.
  bool hung_up(int timeout_ms = 0) {
    pollfd entry{client->fd(), POLLIN, 0};
    char peeked;
    if (poll(&entry, 1, timeout_ms) != 1) return false;
    return (entry.revents & POLLHUP) || recv(client->fd(), &peeked, 1, MSG_PEEK) <= 0;
  }
  void descriptor(uint64_t ring, uint32_t slot, uint64_t buffer, uint32_t command) {
    uint8_t* const at = at_ + ring + 16 * slot;
    memset(at + 12, 0, 4);
    memcpy(at, &buffer, sizeof buffer);
    memcpy(at + 8, &command, sizeof command);
  }
  uint8_t* memory() { return at_; }
  int memory_fd() const { return memory_.get(); }

  std::unique_ptr<TestClient> client;
  UniqueFd interrupt{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};

 private:
  uint32_t region_read(uint32_t region, uint32_t offset) {
    client->send(Command::kRegionRead, TestClient::bytes_of(vfio_user::RegionAccess{offset, region, 4}));
    auto answer = client->answer();
    EXPECT_EQ(answer.payload.size(), sizeof(vfio_user::RegionAccess) + 4);
    uint32_t value = 0xffffffff;
    if (answer.payload.size() == sizeof(vfio_user::RegionAccess) + 4)
      memcpy(&value, answer.payload.data() + sizeof(vfio_user::RegionAccess), sizeof value);
    return value;
  }
  void post(uint32_t slot) {
    uint8_t* const at = at_ + kRxRing + 16 * slot;
    const uint64_t buffer = kRxBuffers + slot * kBufferBytes;
    memset(at, 0, 16);
    memcpy(at, &buffer, sizeof buffer);
  }

  const std::string path_;
  UniqueFd memory_;
  uint8_t* at_;
  uint32_t tx_tail_ = 0, tx_clean_ = 0, rx_next_ = 0;  // grow only
};

// Ethernet addresses of machine `n`.
inline Bytes frame_from_to(uint8_t from, uint8_t to, uint64_t number, size_t bytes = 60) {
  Bytes out(bytes);
  const uint8_t head[14] = {2, 0x57, 0, 0, 0, to, 2, 0x57, 0, 0, 0, from, 0x88, 0xb5};
  memcpy(out.data(), head, sizeof head);
  memcpy(&out[14], &number, sizeof number);
  for (size_t i = 22; i < bytes; i++) out[i] = uint8_t(number * 31 + i * 7);
  return out;
}

}  // namespace card
