// SPDX-License-Identifier: BSD-2-Clause
// Sending by running the XDP program of an interface (wire/tx_stage.h): the driver at the other end of a veth pair gets
// frames at once, and nobody allocates buffers of the stack's for them. A call costs some 15 us and moves hundreds.
#pragma once

#include <cstdint>
#include <memory>

#include "base/fd.hh"
#include "base/result.hh"

struct tx_stage;

namespace unetmap::client {

class LiveFrames {
 public:
  static constexpr uint32_t kMost = 512;  // packets of one call
  static constexpr uint32_t kLeast = 64;  // with fewer the socket is faster

  static Result<std::shared_ptr<LiveFrames>> map(UniqueFd program, UniqueFd stage);
  ~LiveFrames();
  LiveFrames(const LiveFrames&) = delete;
  LiveFrames& operator=(const LiveFrames&) = delete;

  // False once the kernel has refused.
  bool usable() const { return usable_; }
  // Packet `at` of the next call. `len`: 14 to what fits a buffer of an interface's port.
  void put(uint32_t at, const uint8_t* from, uint32_t len);
  // Before a call: none are sent.
  void begin();
  // Sends packets 0 to n - 1 in their order, and returns how many of them went.
  uint32_t send(uint32_t n);
  // How many of the last call did, whoever made it.
  uint32_t sent() const;

 private:
  LiveFrames() = default;
  UniqueFd program_, map_;
  tx_stage* stage_ = nullptr;
  bool usable_ = true;
};

}  // namespace unetmap::client
