// SPDX-License-Identifier: BSD-2-Clause
// Rings whose frames go through system calls: the host stack's tap, and AF_PACKET sockets. Nothing stays with the
// kernel after a sync, so buffers never leave their slots. A sync moves a bounded number of frames.
#pragma once

#include "client/nic.hh"

namespace unetmap::client {

// How frames get to and from a descriptor, several at a time.
class FrameChannel {
 public:
  static constexpr uint32_t kBatch = 64;
  struct Frame {
    uint8_t* data;
    uint32_t len;  // in: room; out: bytes
  };
  explicit FrameChannel(int fd) : fd_(fd) {}
  virtual ~FrameChannel() = default;
  // How many of the frames were taken; the rest later (`error` 0), or never (an errno value).
  virtual uint32_t send(const Frame* frames, uint32_t count, int& error) = 0;
  virtual uint32_t receive(Frame* frames, uint32_t count) = 0;

 protected:
  const int fd_;
};
std::unique_ptr<FrameChannel> tap_channel(int fd);
std::unique_ptr<FrameChannel> packet_channel(int fd);

class FrameTx final : public NicTx {
 public:
  FrameTx(std::unique_ptr<FrameChannel> channel, const vale::TxView& view)
      : channel_(std::move(channel)), view_(view) {}
  int sync(uint32_t& hwcur, uint32_t& hwtail, uint32_t head, bool recover, bool straight) override;

 private:
  uint32_t load(uint32_t at, uint32_t head, FrameChannel::Frame& frame);
  uint32_t next(uint32_t slot) const { return slot + 1 == view_.num_slots ? 0 : slot + 1; }

  std::unique_ptr<FrameChannel> channel_;
  vale::TxView view_;
  std::vector<uint8_t> gathered_;  // packets of several slots
};

class FrameRx final : public NicRx {
 public:
  FrameRx(std::unique_ptr<FrameChannel> channel, const NicRxView& view) : channel_(std::move(channel)), view_(view) {}
  int sync(uint32_t& hwcur, uint32_t head, uint32_t& hwtail, bool recover) override;

 private:
  std::unique_ptr<FrameChannel> channel_;
  NicRxView view_;
};

}  // namespace unetmap::client
