// SPDX-License-Identifier: BSD-2-Clause
// A pcapng file of Ethernet packets from one interface or several, with what libpcap 1.10 cannot write: the direction
// of each packet, how many were lost before it, and a comment. Layout: draft-ietf-opsawg-pcapng.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/fd.hh"
#include "base/result.hh"

namespace unetmap::parts {

enum class Direction : uint32_t { kUnknown = 0, kIn = 1, kOut = 2 };

class PcapngWriter {
 public:
  struct Origin {
    std::string interface;
    std::string description;  // empty: none
    std::string filter;       // the expression; empty: none
    std::string program;
    uint32_t snapshot_bytes = 0;  // 0: whole packets
  };
  struct Packet {
    uint64_t time_ns = 0;            // since 1970
    std::span<const uint8_t> bytes;  // what is stored
    size_t original_bytes = 0;
    Direction direction = Direction::kUnknown;
    uint64_t lost_before = 0;  // since the packet before this one
    uint32_t interface = 0;
    std::string_view comment;  // empty: none
  };
  struct Totals {
    uint64_t start_ns = 0, end_ns = 0;
    uint64_t received = 0;  // by the capture, before its filter
    uint64_t accepted = 0;  // by the filter
    uint64_t lost = 0;
  };

  // Writes the beginning of the file. Nothing is written to the descriptor before flush() or until some 64 KB are
  // there.
  PcapngWriter(UniqueFd file, const Origin& origin);

  // One more interface, for packets behind it; its number. That of the origin is 0.
  uint32_t add_interface(const std::string& name, const std::string& description);
  Result<void> write(const Packet& packet);
  // Of the file, written or not.
  uint64_t bytes() const { return written_ + pending_bytes_; }
  bool anything_pending() const { return pending_bytes_ != 0; }
  Result<void> flush();
  // The statistics that end a file, of its first interface; flushes.
  Result<void> finish(const Totals& totals);

 private:
  void grow(size_t bytes);
  uint8_t* room(size_t bytes);
  void number(uint64_t value, size_t bytes);
  void padded_bytes(std::span<const uint8_t> bytes);
  void option(uint16_t code, std::span<const uint8_t> value);
  void option(uint16_t code, std::string_view text);
  void option(uint16_t code, uint64_t value, size_t bytes);
  void time(uint64_t ns);
  void time_option(uint16_t code, uint64_t ns);
  size_t begin(uint32_t type);
  void cut(size_t written);
  void end(size_t block);

  UniqueFd file_;
  std::unique_ptr<uint8_t[]> pending_;  // whole blocks
  size_t pending_bytes_ = 0, capacity_ = 0;
  const uint32_t snapshot_bytes_;
  const std::string filter_;
  uint32_t interfaces_ = 0;
  uint64_t written_ = 0;
};

}  // namespace unetmap::parts
