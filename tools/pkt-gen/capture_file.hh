// SPDX-License-Identifier: BSD-2-Clause
// Packets from and to pcap files.
#pragma once

#include <sys/time.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.hh"

namespace unetmap::pktgen {

// All packets of a capture, in order, in one block of memory. Immutable after reading, so threads may share it.
class Capture {
 public:
  // `prefix` zero bytes go in front of each packet. Fails when the file cannot be read or holds no packet.
  static Result<Capture> read(const std::string& path, uint32_t prefix);

  struct Packet {
    const uint8_t* data;
    uint32_t bytes;
  };
  size_t count() const { return ends_.size(); }
  Packet packet(size_t i) const {
    size_t from = i ? ends_[i - 1] : 0;
    return {bytes_.data() + from, uint32_t(ends_[i] - from)};
  }
  uint32_t largest() const { return largest_; }
  // Packets whose beginning only is in the file: zeroes follow it.
  uint64_t shortened() const { return shortened_; }

 private:
  std::vector<uint8_t> bytes_;
  std::vector<size_t> ends_;
  uint32_t largest_ = 0;
  uint64_t shortened_ = 0;
};

class CaptureWriter {
 public:
  static Result<CaptureWriter> create(const std::string& path);
  // False, once the file cannot be written any more; finish() says why.
  bool write(const timeval& when, const uint8_t* data, uint32_t bytes);
  // Writes out what is buffered and closes. Later writes are not allowed.
  Result<void> finish();

 private:
  struct Handles;
  struct Free {
    void operator()(Handles* handles) const;
  };
  std::unique_ptr<Handles, Free> handles_;
  std::string path_;
};

}  // namespace unetmap::pktgen
