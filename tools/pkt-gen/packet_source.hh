// SPDX-License-Identifier: BSD-2-Clause
// The sequence of packets a sender that does more than repeat one frame goes through: from a capture, or a frame that
// changes addresses, size or time stamp.
#pragma once

#include <cstdint>

#include "pacer.hh"
#include "worker.hh"

namespace unetmap::pktgen {

class PacketSource {
 public:
  explicit PacketSource(const Worker& w)
      : frame_(spec_of(w)),
        capture_(w.run.capture.get()),
        at_(w.index),
        stride_(w.run.options.threads),
        vnet_header_(w.run.frame.vnet_header),
        min_bytes_(w.run.options.min_bytes),
        max_bytes_(w.run.options.bytes),
        stamped_(!capture_ && w.run.options.has(kTimestamp)),
        random_state_(w.run.frame.seed + w.index + 1) {
    if (capture_) at_ %= capture_->count();
    if (min_bytes_) frame_.resize(draw_size());
  }

  struct Packet {
    const uint8_t* data;
    uint32_t bytes;
  };
  Packet current() const {
    if (capture_) {
      Capture::Packet p = capture_->packet(at_);
      return {p.data, p.bytes};
    }
    return {frame_.data(), frame_.size()};
  }
  void advance() {
    if (capture_) {
      at_ += stride_;
      while (at_ >= capture_->count()) at_ -= capture_->count();
      return;
    }
    if (frame_.varies()) frame_.step();
    if (min_bytes_) frame_.resize(draw_size());
  }
  // Once a batch: packets of a batch carry one time.
  void stamp() {
    if (stamped_) frame_.put_time(now_ns());
  }
  // Whether data of a packet already passed still is as it was.
  bool stable() const { return capture_ || (!frame_.varies() && !min_bytes_ && !stamped_); }
  uint32_t largest() const { return capture_ ? capture_->largest() : vnet_header_ + max_bytes_; }

 private:
  static FrameSpec spec_of(const Worker& w) {
    FrameSpec spec = w.run.frame;
    spec.seed += w.index;
    return spec;
  }
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
