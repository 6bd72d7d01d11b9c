// SPDX-License-Identifier: BSD-2-Clause
// Transmit descriptors as they lie in guest memory: SDM 3.3.3 (legacy), 3.3.6 (context), 3.3.7 (data).
#pragma once

#include <cstdint>

#include "guest/words.hh"

namespace unetmap::e1000 {

// A context: where the checksums and headers of the frames lie that follow. As the driver wrote it; taken apart on use.
struct TxContext {
  uint64_t low = 0, high = 0;

  [[nodiscard]] unsigned ipcss() const noexcept { return low & 0xff; }
  [[nodiscard]] unsigned ipcso() const noexcept { return low >> 8 & 0xff; }
  [[nodiscard]] unsigned ipcse() const noexcept { return low >> 16 & 0xffff; }
  [[nodiscard]] unsigned tucss() const noexcept { return low >> 32 & 0xff; }
  [[nodiscard]] unsigned tucso() const noexcept { return low >> 40 & 0xff; }
  [[nodiscard]] unsigned tucse() const noexcept { return low >> 48 & 0xffff; }
  [[nodiscard]] uint32_t paylen() const noexcept { return high & 0xf'ffff; }
  [[nodiscard]] bool tcp() const noexcept { return (high >> 24 & 1) != 0; }
  [[nodiscard]] bool ipv4() const noexcept { return (high >> 25 & 1) != 0; }
  [[nodiscard]] bool segmentation() const noexcept { return (high >> 26 & 1) != 0; }
  [[nodiscard]] unsigned header_bytes() const noexcept { return high >> 40 & 0xff; }
  [[nodiscard]] unsigned mss() const noexcept { return high >> 48 & 0xffff; }
};

// The card keeps two: the last one for segmentation and the last one without.
struct TxContexts {
  TxContext checksum, segmentation;
};

struct TxDescriptor {
  enum class Type : uint8_t { kLegacy, kContext, kData, kReserved };
  static constexpr uint8_t kEop = 1, kIc = 4, kTse = 4, kRs = 8, kRps = 16, kDext = 32, kVle = 64, kIde = 128;
  static constexpr unsigned kCommandAt = 11, kStatusAt = 12;
  static constexpr uint8_t kDone = 1;

  uint64_t low, high;

  static TxDescriptor load(const uint8_t* at) noexcept {
    return {load_once<uint64_t>(at), load_once<uint64_t>(at + 8)};
  }
  [[nodiscard]] uint8_t command() const noexcept { return static_cast<uint8_t>(high >> 24); }
  [[nodiscard]] Type type() const noexcept {
    if (!(command() & kDext)) return Type::kLegacy;
    const unsigned type = high >> 20 & 0xf;
    return type == 0 ? Type::kContext : type == 1 ? Type::kData : Type::kReserved;
  }
  [[nodiscard]] uint64_t address() const noexcept { return low; }
  [[nodiscard]] uint32_t bytes() const noexcept { return command() & kDext ? high & 0xf'ffff : high & 0xffff; }
  // A frame by itself, of which only the bytes count: neither offloads nor a tag.
  [[nodiscard]] bool whole_and_plain() const noexcept {
    constexpr uint8_t kAsks = kTse | kVle;  // IC is the same bit as TSE
    constexpr uint64_t kOptions = uint64_t{3} << 40;
    if ((command() & (kEop | kAsks)) != kEop) return false;
    const Type is = type();
    return is == Type::kLegacy || (is == Type::kData && (high & kOptions) == 0);
  }
  // Legacy: where a checksum is to begin, and to go.
  [[nodiscard]] uint8_t css() const noexcept { return static_cast<uint8_t>(high >> 40); }
  [[nodiscard]] uint8_t cso() const noexcept { return static_cast<uint8_t>(high >> 16); }
  // Data: options of the packet, and its VLAN tag.
  [[nodiscard]] bool ixsm() const noexcept { return (high >> 40 & 1) != 0; }
  [[nodiscard]] bool txsm() const noexcept { return (high >> 41 & 1) != 0; }
  [[nodiscard]] uint16_t tag() const noexcept { return static_cast<uint16_t>(high >> 48); }
};

// What the descriptors of one frame ask for.
struct TxRequest {
  bool segment = false;
  bool ip_checksum = false, checksum = false;  // by a context
  bool insert = false;                         // by a legacy descriptor
  uint8_t insert_from = 0, insert_at = 0;
  bool vlan = false;
  uint16_t tag = 0;

  void add(const TxDescriptor& descriptor, bool first) noexcept {
    const uint8_t command = descriptor.command();
    const bool last = (command & TxDescriptor::kEop) != 0;
    if (descriptor.type() == TxDescriptor::Type::kData) {
      if (first) {
        ip_checksum = descriptor.ixsm();
        checksum = descriptor.txsm();
        segment = (command & TxDescriptor::kTse) != 0;
      }
    } else if (last && (command & TxDescriptor::kIc)) {
      insert = true;
      insert_from = descriptor.css();
      insert_at = descriptor.cso();
    }
    if ((command & TxDescriptor::kVle) && (last || segment)) {
      vlan = true;
      tag = descriptor.tag();
    }
  }
  [[nodiscard]] bool plain() const noexcept { return !segment && !ip_checksum && !checksum && !insert && !vlan; }
};

}  // namespace unetmap::e1000
