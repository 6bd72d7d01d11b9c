// SPDX-License-Identifier: BSD-2-Clause
// Rings whose frames go through system calls: the host stack's tap, and AF_PACKET sockets. Nothing stays with the
// kernel after a sync, so buffers never leave their slots. A sync moves a bounded number of frames.
#pragma once

#include <memory>
#include <vector>

#include "client/nic/rings.hh"
#include "vale/forward.hh"

namespace unetmap::client {

// How frames get to and from a descriptor, several at a time.
class FrameChannel {
 public:
  static constexpr uint32_t kBatch = 64;
  static constexpr uint32_t kMoreBytes = 65536;
  struct Frame {
    uint8_t* data;
    uint32_t len;             // in: room; out: bytes, of a frame that was sent and refused for good 0
    uint8_t* more = nullptr;  // kMoreBytes for what of a received frame has no room in `data`
    uint32_t tag = 0;         // of a received frame, that the kernel took out of it: EtherType and tag
  };
  explicit FrameChannel(int fd) : fd_(fd) {}
  virtual ~FrameChannel() = default;
  // How many of the frames were taken; the rest later (`error` 0), or never (an errno value).
  virtual uint32_t send(Frame* frames, uint32_t count, int& error) = 0;
  virtual uint32_t receive(Frame* frames, uint32_t count) = 0;

 protected:
  const int fd_;
};
std::unique_ptr<FrameChannel> tap_channel(int fd);
std::unique_ptr<FrameChannel> packet_channel(int fd);

class FrameTx final : public NicTx {
 public:
  FrameTx(std::unique_ptr<FrameChannel> channel, const vale::TxView& view, NicState* state)
      : channel_(std::move(channel)), view_(view), state_(state) {}
  int sync(uint32_t& hwcur, uint32_t& hwtail, uint32_t head, bool recover, bool straight) override;

 private:
  uint32_t load(uint32_t at, uint32_t head, FrameChannel::Frame& frame);
  uint32_t next(uint32_t slot) const { return slot + 1 == view_.num_slots ? 0 : slot + 1; }

  std::unique_ptr<FrameChannel> channel_;
  vale::TxView view_;
  NicState* state_;
  std::vector<uint8_t> gathered_;  // packets of several slots
};

class FrameRx final : public NicRx {
 public:
  FrameRx(std::unique_ptr<FrameChannel> channel, const NicRxView& view, NicState* state);
  int sync(uint32_t& hwcur, uint32_t head, uint32_t& hwtail, bool recover) override;

 private:
  uint8_t* buffer(uint32_t slot) const;
  uint32_t slot_at(uint32_t from, uint32_t n) const { return (from + n) % view_.num_slots; }
  void place(uint32_t at, uint8_t* bytes, uint32_t count, bool more);
  void place_long(const FrameChannel::Frame& frame, uint32_t at, uint32_t slots);
  uint32_t place_all(FrameChannel::Frame* frames, uint32_t got, uint32_t hwtail, uint32_t room);

  std::unique_ptr<FrameChannel> channel_;
  NicRxView view_;
  NicState* state_;
  std::unique_ptr<uint8_t[]> more_;   // kMoreBytes of each frame of a batch: pages are there once they are needed
  std::unique_ptr<uint8_t[]> whole_;  // a long frame in one piece
  uint32_t longest_ = 1;              // slots of the longest frame so far
  uint64_t packets_ = 0, bytes_ = 0;  // of a sync
};

}  // namespace unetmap::client
