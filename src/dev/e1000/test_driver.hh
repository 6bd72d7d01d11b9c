// SPDX-License-Identifier: BSD-2-Clause
// The other side, for tests: guest memory and a driver of an 82540EM, written from the manual and sharing nothing with
// the device but the names of registers. Tests misbehave by writing to registers and memory directly.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "dev/e1000/device.hh"
#include "dev/e1000/registers.hh"
#include "guest/guest_memory.hh"

namespace unetmap::e1000 {

using Bytes = std::vector<uint8_t>;

// Two regions that touch each other, so that buffers can lie across; the files lie apart.
class TestMemory {
 public:
  static constexpr uint64_t kBase = 0x10'0000, kRegion = 4 << 20, kEnd = kBase + 2 * kRegion;
  static constexpr uint64_t kUser = 0x7f00'0000'0000;

  TestMemory() {
    for (int i = 0; i < 2; i++) {
      fd_[i] = UniqueFd(memfd_create("guest", MFD_CLOEXEC));
      if (ftruncate(fd_[i].get(), kRegion) < 0 || !memory.add(region(i), fd_[i].get())) std::abort();
    }
  }
  static guest::Region region(int i) {
    const uint64_t at = kBase + uint64_t(i) * kRegion;
    return {at, kRegion, kUser + at, 0};
  }
  int fd(int i) const { return fd_[i].get(); }

  void write(uint64_t guest, const void* bytes, size_t count) {
    for (size_t done = 0; done < count;) {
      auto piece = memory.piece(guest + done, count - done);
      if (piece.at == nullptr) std::abort();
      memcpy(piece.at, static_cast<const uint8_t*>(bytes) + done, piece.bytes);
      done += piece.bytes;
    }
  }
  void write(uint64_t guest, const Bytes& bytes) { write(guest, bytes.data(), bytes.size()); }
  Bytes read(uint64_t guest, size_t count) {
    Bytes out(count);
    for (size_t done = 0; done < count;) {
      auto piece = memory.piece(guest + done, count - done);
      if (piece.at == nullptr) std::abort();
      memcpy(&out[done], piece.at, piece.bytes);
      done += piece.bytes;
    }
    return out;
  }
  template <class T>
  T get(uint64_t guest) {
    T value;
    memcpy(&value, memory.at(guest, sizeof value), sizeof value);
    return value;
  }
  template <class T>
  void put(uint64_t guest, T value) {
    memcpy(memory.at(guest, sizeof value), &value, sizeof value);
  }

  guest::GuestMemory memory;

 private:
  UniqueFd fd_[2];
};

struct SentFrame {
  vale::VnetHdr hdr;
  Bytes bytes;
};

struct ReceivedFrame {
  Bytes bytes;
  uint8_t status = 0, errors = 0;
  uint16_t checksum = 0, special = 0;
  unsigned descriptors = 0;
};

// A driver with both rings, which it leaves where they are after start().
class TestDriver {
 public:
  static constexpr uint64_t kTxRing = TestMemory::kBase, kRxRing = TestMemory::kBase + 0x1'0000,
                            kBlock = TestMemory::kBase + 0x2'0000, kHeaders = TestMemory::kBase + 0x2'1000,
                            kTxBuffers = TestMemory::kBase + 0x10'0000, kRxBuffers = TestMemory::kBase + 0x20'0000;
  static constexpr uint32_t kTxStride = 16384, kRxStride = 16384;
  static constexpr std::array<uint8_t, 6> kMac{0x52, 0x54, 0, 0x12, 0x34, 0x56};

  explicit TestDriver(Config config = {.mac = kMac}) : device(config, guest.memory) {
    const uint8_t command[] = {7, 0};  // I/O, memory, bus master
    device.write_config(4, command);
    device.advance(now);
  }

  uint32_t read(uint32_t offset) {
    uint8_t bytes[4];
    device.read_bar(0, offset, bytes);
    uint32_t value;
    memcpy(&value, bytes, 4);
    return value;
  }
  void write(uint32_t offset, uint32_t value) {
    uint8_t bytes[4];
    memcpy(bytes, &value, 4);
    device.write_bar(0, offset, bytes);
  }
  void pass(uint64_t ns) { device.advance(now += ns); }

  // Both rings of so many descriptors, receive buffers given to the card but for one, both directions on.
  void start(uint32_t count = 32, uint32_t rctl = kRctlEn | kRctlBam | kRctlSecrc) {
    size = count;
    write(reg::kTdbal, uint32_t(kTxRing));
    write(reg::kTdbah, 0);
    write(reg::kTdlen, size * 16);
    write(reg::kTdh, 0);
    write(reg::kTdt, 0);
    write(reg::kRdbal, uint32_t(kRxRing));
    write(reg::kRdbah, 0);
    write(reg::kRdlen, size * 16);
    write(reg::kRdh, 0);
    for (uint32_t i = 0; i < size; i++) give_buffer(i);
    rx_next = tx_next = 0;
    write(reg::kRctl, rctl);
    write(reg::kTctl, kTctlEn);
    write(reg::kRdt, size - 1);
  }
  void give_buffer(uint32_t index) {
    guest.put<uint64_t>(kRxRing + 16 * index, kRxBuffers + uint64_t{kRxStride} * index);
    guest.put<uint64_t>(kRxRing + 16 * index + 8, 0);
  }

  // --- Transmit: descriptors by hand; kick() writes the tail.
  void add(uint64_t low, uint64_t high) {
    guest.put(kTxRing + 16 * tx_next, low);
    guest.put(kTxRing + 16 * tx_next + 8, high);
    tx_next = (tx_next + 1) % size;
  }
  uint64_t tx_buffer(const Bytes& bytes) {
    const uint64_t at = kTxBuffers + uint64_t{kTxStride} * tx_next;
    guest.write(at, bytes);
    return at;
  }
  static constexpr uint8_t kEop = 1, kIfcs = 2, kIc = 4, kTse = 4, kRs = 8, kDext = 32, kVle = 64, kIde = 128;
  void add_legacy(const Bytes& bytes, uint8_t command = kEop | kRs, uint8_t cso = 0, uint8_t css = 0,
                  uint16_t tag = 0) {
    add(tx_buffer(bytes),
        bytes.size() | uint64_t{cso} << 16 | uint64_t{command} << 24 | uint64_t{css} << 40 | uint64_t{tag} << 48);
  }
  void add_data(const Bytes& bytes, uint8_t command, uint8_t popts, uint16_t tag = 0) {
    add(tx_buffer(bytes), bytes.size() | uint64_t{1} << 20 | uint64_t(command | kDext) << 24 | uint64_t{popts} << 40 |
                              uint64_t{tag} << 48);
  }
  struct ContextFields {
    uint8_t ipcss = 0, ipcso = 0;
    uint16_t ipcse = 0;
    uint8_t tucss = 0, tucso = 0;
    uint16_t tucse = 0;
    uint32_t paylen = 0;
    uint8_t command = 0;  // 1 TCP, 2 IPv4, 4 TSE
    uint8_t header = 0;
    uint16_t mss = 0;
  };
  void add_context(const ContextFields& c) {
    add(c.ipcss | uint64_t{c.ipcso} << 8 | uint64_t{c.ipcse} << 16 | uint64_t{c.tucss} << 32 | uint64_t{c.tucso} << 40 |
            uint64_t{c.tucse} << 48,
        c.paylen | uint64_t(c.command | kDext) << 24 | uint64_t{c.header} << 40 | uint64_t{c.mss} << 48);
  }
  void kick() { write(reg::kTdt, tx_next); }
  uint8_t tx_status(uint32_t index) { return guest.get<uint8_t>(kTxRing + 16 * index + 12); }

  // What comes out, all of it or so many batches of so many frames.
  std::vector<SentFrame> take(size_t batch = kMaxFetch, size_t batches = 1000) {
    std::vector<SentFrame> out;
    std::vector<TxFrame> frames(batch);
    for (size_t i = 0; i < batches; i++) {
      const size_t count = device.fetch(frames);
      if (count == 0) break;
      for (size_t k = 0; k < count; k++) out.push_back(copy(frames[k]));
      device.complete(count);
    }
    return out;
  }
  static SentFrame copy(const TxFrame& frame) {
    SentFrame out{frame.hdr, {}};
    for (const Source& piece : frame.pieces) out.bytes.insert(out.bytes.end(), piece.begin(), piece.end());
    if (out.bytes.size() != frame.bytes || frame.pieces.empty() || frame.pieces.size() > kMaxFramePieces ||
        frame.pieces[0].size() < 14)
      std::abort();
    return out;
  }

  // --- Receive
  Delivery deliver(const Bytes& bytes, const vale::VnetHdr& hdr = {}) {
    const Source source(bytes);
    return device.deliver(hdr, {&source, 1});
  }
  // The next frame that the card has given back; its buffers go back to the card.
  std::optional<ReceivedFrame> next(uint32_t buffer_bytes = 2048) {
    ReceivedFrame out;
    for (uint32_t index = rx_next;; index = (index + 1) % size) {
      const uint64_t high = guest.get<uint64_t>(kRxRing + 16 * index + 8);
      out.status = uint8_t(high >> 32);
      if (!(out.status & 1)) return std::nullopt;
      if ((high & 0xffff) > buffer_bytes) std::abort();
      const Bytes part = guest.read(guest.get<uint64_t>(kRxRing + 16 * index), high & 0xffff);
      out.bytes.insert(out.bytes.end(), part.begin(), part.end());
      out.descriptors++;
      out.checksum = uint16_t(high >> 16);
      out.errors = uint8_t(high >> 40);
      out.special = uint16_t(high >> 48);
      if (!(out.status & 2)) continue;
      for (uint32_t i = 0; i < out.descriptors; i++, rx_next = (rx_next + 1) % size) give_buffer(rx_next);
      write(reg::kRdt, (rx_next + size - 1) % size);
      return out;
    }
  }

  TestMemory guest;
  uint64_t now = 1'000'000'000;
  Device device;
  uint32_t size = 32;
  uint32_t tx_next = 0, rx_next = 0;
};

// A frame to the driver's address, of a private type.
inline Bytes plain_frame(size_t bytes, uint8_t seed = 1) {
  Bytes out(bytes);
  for (size_t i = 0; i < bytes; i++) out[i] = uint8_t(i * 7 + seed);
  const uint8_t head[] = {0x52, 0x54, 0, 0x12, 0x34, 0x56, 0x02, 0, 0, 0, 0, 1, 0x88, 0xb5};
  memcpy(out.data(), head, std::min(bytes, sizeof head));
  return out;
}

}  // namespace unetmap::e1000
