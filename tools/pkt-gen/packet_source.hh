// SPDX-License-Identifier: BSD-2-Clause
// The sequence of packets a sender that does more than repeat one frame goes through: from a capture, or a frame that
// changes addresses, size or time stamp.
#pragma once

#include <cstdint>

#include "capture_file.hh"
#include "frame.hh"
#include "options.hh"
#include "pacer.hh"

namespace unetmap::pktgen {

// What one sending thread is to send. The capture, if any, outlives the thread.
struct Traffic {
  FrameSpec frame;
  const Options& options;
  const Capture* capture = nullptr;
  unsigned thread = 0;

  FrameSpec seeded() const {
    FrameSpec spec = frame;
    spec.seed += thread;
    return spec;
  }
};

class PacketSource {
 public:
  explicit PacketSource(const Traffic& traffic)
      : frame_(traffic.seeded()),
        capture_(traffic.capture),
        at_(traffic.thread),
        stride_(traffic.options.threads),
        vnet_header_(traffic.frame.vnet_header),
        min_bytes_(capture_ ? 0 : traffic.options.min_bytes),
        max_bytes_(traffic.frame.bytes),
        stamped_(!capture_ && traffic.options.has(kTimestamp)),
        random_state_(traffic.seeded().seed) {
    if (capture_) at_ %= capture_->count();
    if (min_bytes_) frame_.resize(draw_size());
  }

  struct Packet {
    const uint8_t* data;
    uint32_t bytes;
  };
  Packet current() const {
    if (!capture_) return {frame_.data(), frame_.size()};
    Capture::Packet p = capture_->packet(at_);
    return {p.data, p.bytes};
  }
  void advance() {
    if (capture_) {
      // Thread i of n sends packets i, i + n, ... of the file, and goes round.
      at_ = (at_ + stride_) % capture_->count();
      return;
    }
    if (frame_.varies()) frame_.step();
    if (min_bytes_) frame_.resize(draw_size());
  }
  // Once a batch: packets of a batch carry one time.
  void stamp() {
    if (stamped_) frame_.put_time(now_ns());
  }
  // Whether the data of a packet already passed stays as it is.
  bool stable() const { return capture_ || (!frame_.varies() && !min_bytes_ && !stamped_); }
  uint32_t largest() const { return capture_ ? capture_->largest() : vnet_header_ + max_bytes_; }

 private:
  uint32_t draw_size() {
    random_state_ = random_state_ * 6364136223846793005ull + 1442695040888963407ull;
    return min_bytes_ + uint32_t((random_state_ >> 32) % (max_bytes_ - min_bytes_));
  }

  Frame frame_;
  const Capture* capture_;
  size_t at_;
  size_t stride_;
  uint32_t vnet_header_;
  uint32_t min_bytes_;  // 0: all have max_bytes_
  uint32_t max_bytes_;
  bool stamped_;
  uint64_t random_state_;
};

}  // namespace unetmap::pktgen
