// SPDX-License-Identifier: BSD-2-Clause
// A guest with a port that is passed through, played by a test: connects to the port's socket as QEMU does, and maps
// nothing but the memory that it gets.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include "dev/passthrough/layout.hh"
#include "driver/passthrough/device.hh"
#include "driver/test_machine.hh"
#include "plugged.hh"

namespace plugged {

namespace driver = unetmap::driver;
namespace passthrough = unetmap::passthrough;
using driver::TestMachine;
using unetmap::UniqueFd;

// QEMU and the guest in it: BAR 2 is the memory, BAR 0 leads to the doorbell.
class Guest final : public driver::Registers {
 public:
  static constexpr uint32_t kDoorbellAt = 12;

  explicit Guest(const std::string& path) : socket_(unix_socket(SOCK_STREAM, "", path)) {}
  ~Guest() override {
    if (at_) munmap(at_, bytes_);
  }
  Guest(const Guest&) = delete;

  // What the server says, in the order of the protocol.
  bool connect() {
    int fds[3] = {-1, -1, -1};
    const int64_t wanted[] = {0, passthrough::kGuestPeer, -1, passthrough::kHostPeer, passthrough::kGuestPeer};
    for (size_t i = 0; i < std::size(wanted); i++) {
      int fd = -1;
      if (next(fd) != wanted[i] || (fd >= 0) != (i >= 2)) return false;
      if (i >= 2) fds[i - 2] = fd;
    }
    memory_ = UniqueFd(fds[0]);
    doorbell_ = UniqueFd(fds[1]);
    interrupt_ = UniqueFd(fds[2]);
    struct stat info;
    if (fstat(fds[0], &info) < 0) return false;
    bytes_ = size_t(info.st_size);
    void* at = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
    at_ = at == MAP_FAILED ? nullptr : static_cast<uint8_t*>(at);
    return at_;
  }
  // As the keeper in a guest does.
  bool open() {
    new (&machine_.shared) driver::Shared{};
    auto started = device().start({}, machine_.shared, [](uint32_t us) { usleep(us); });
    if (!started) return ADD_FAILURE() << started.error().text, false;
    const auto memory = driver::PassedMemory::of({at_, bytes_});
    if (!memory) return false;
    EXPECT_EQ(memory->slots(), TestMachine::kSlots);
    for (uint32_t pair = 0; pair < memory->pairs(); pair++) {
      if (pair == pairs_.size()) pairs_.push_back(std::make_unique<Pair>());
      Pair& with = *pairs_[pair];
      with.machine.use(memory->buffers(), passthrough::kFirstBuffer + 2 * TestMachine::kSlots * pair);
      with.tx.emplace(*this, machine_.shared, pair, *memory, with.machine.tx_ring());
      with.rx.emplace(*this, machine_.shared, pair, *memory, with.machine.rx_ring());
      with.rings.emplace(driver::TestRings{*with.tx, *with.rx});
      with.rings->sync_rx();
    }
    use(0);
    return true;
  }
  uint32_t pairs() const { return uint32_t(pairs_.size()); }
  // The pair of rings that the following is about.
  void use(uint32_t pair) { now_ = pairs_[pair].get(); }
  void close() {
    device().stop([](uint32_t) {});
  }

  bool send(const Bytes& frame) {
    now_->rings->sync_tx();
    constexpr uint32_t kPart = 1700;
    if (now_->rings->room() < frame.size() / kPart + 1) return false;
    std::vector<uint32_t> cuts(frame.size() / kPart, kPart);
    now_->rings->tx_head =
        (now_->rings->tx_head + now_->machine.fill(now_->rings->tx_head, frame, cuts)) % TestMachine::kSlots;
    now_->rings->sync_tx();
    return true;
  }
  // Whether the host has been given all.
  bool sent() {
    now_->rings->sync_tx();
    return now_->rings->tx_cur == now_->rings->tx_head;
  }
  std::vector<Bytes> receive() {
    sync_rx();
    std::vector<Bytes> out;
    bool more = false;
    for (; now_->rings->rx_head != now_->rings->rx_tail;
         now_->rings->rx_head = (now_->rings->rx_head + 1) % TestMachine::kSlots) {
      Bytes part = now_->machine.shown(now_->rings->rx_head);
      if (!more) out.emplace_back();
      out.back().insert(out.back().end(), part.begin(), part.end());
      more = now_->machine.rx_slots_[now_->rings->rx_head].flags & NS_MOREFRAG;
    }
    return out;
  }
  void sync_rx() { now_->rings->sync_rx(); }
  Bytes await() {
    std::vector<Bytes> got;
    if (!flows::eventually([&] { return got = receive(), !got.empty(); })) return {};
    EXPECT_EQ(got.size(), 1u);
    return got[0];
  }

  uint32_t read(uint32_t, unsigned) override { return UINT32_MAX; }
  void write(uint32_t offset, uint32_t value, unsigned) override {
    const uint64_t one = 1;
    EXPECT_EQ(offset, kDoorbellAt);
    EXPECT_EQ(value, passthrough::kDoorbellHost);
    EXPECT_EQ(::write(doorbell_.get(), &one, sizeof one), ssize_t(sizeof one));
  }

  bool hung_up() {
    char byte;
    return recv(socket_.get(), &byte, 1, MSG_DONTWAIT) == 0;
  }
  int socket_fd() const { return socket_.get(); }
  int memory_fd() const { return memory_.get(); }
  uint8_t* memory() { return at_; }
  size_t bytes() const { return bytes_; }
  const driver::Tally& sent_tally() const { return now_->rings->sent; }
  uint32_t doorbells() {
    return driver::PassedMemory::of({at_, bytes_})->guest().doorbells.load(std::memory_order_relaxed);
  }
  bool closed() { return driver::PassedMemory::of({at_, bytes_})->host().closed.load(std::memory_order_acquire) != 0; }

 private:
  driver::PassedDevice device() { return {*this, kDoorbellAt, {at_, bytes_}}; }
  int64_t next(int& fd) {
    int64_t value = INT64_MIN;
    iovec part{&value, sizeof value};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    if (recvmsg(socket_.get(), &message, MSG_WAITALL | MSG_CMSG_CLOEXEC) != ssize_t(sizeof value)) return INT64_MIN;
    if (cmsghdr* rights = CMSG_FIRSTHDR(&message); rights && rights->cmsg_type == SCM_RIGHTS)
      memcpy(&fd, CMSG_DATA(rights), sizeof fd);
    return value;
  }

  UniqueFd socket_, memory_, doorbell_, interrupt_;
  uint8_t* at_ = nullptr;
  size_t bytes_ = 0;
  // What a program in it has of each pair of rings.
  struct Pair {
    TestMachine machine;
    std::optional<driver::PassedTx> tx;
    std::optional<driver::PassedRx> rx;
    std::optional<driver::TestRings> rings;
  };
  TestMachine machine_;
  std::vector<std::unique_ptr<Pair>> pairs_;
  Pair* now_ = nullptr;
};

}  // namespace plugged
