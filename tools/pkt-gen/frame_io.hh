// SPDX-License-Identifier: BSD-2-Clause
// Back-ends that move one frame a call: taps, libpcap and the null device.
#pragma once

#include <cstdint>
#include <memory>

#include "base/result.hh"
#include "options.hh"

namespace unetmap::pktgen {

class FrameIo {
 public:
  virtual ~FrameIo() = default;
  // For poll; -1 when there is nothing to wait for.
  virtual int fd() const = 0;
  // 0, or an errno value; EAGAIN when poll should be asked for POLLOUT first.
  virtual int send(const uint8_t* data, uint32_t bytes) = 0;
  // Bytes of the frame on the wire, of which up to `room` are stored; 0 when none is waiting; below 0 a negated errno
  // value.
  virtual int64_t receive(uint8_t* to, uint32_t room) = 0;
};

Result<std::unique_ptr<FrameIo>> open_frame_io(const Options& options);

}  // namespace unetmap::pktgen
