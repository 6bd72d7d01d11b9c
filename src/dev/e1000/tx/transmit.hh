// SPDX-License-Identifier: BSD-2-Clause
// The transmit ring: from descriptors to frames. SDM 3.3 to 3.5.
//
// A frame mostly goes out as it lies in guest memory, piece by piece. Three kinds do not and are gathered in the
// device's own memory first ("held"): the beginning of a frame whose end the driver has not shown yet, frames of very
// many pieces, and what no virtio-net header can ask for: odd checksums, and segments that have to be cut here.
//
// fetch() walks from the head on and changes nothing that the driver sees; complete() gives descriptors back, up to the
// last frame that was accepted. So each fetched frame knows the place behind it.
#pragma once

#include <array>
#include <memory>

#include "dev/e1000/ring.hh"
#include "dev/e1000/state.hh"
#include "dev/e1000/tx/offload.hh"

namespace unetmap::e1000 {

class Transmit {
 public:
  explicit Transmit(State& state);
  void reset() noexcept;

  [[nodiscard]] Ring& ring() noexcept { return ring_; }
  [[nodiscard]] uint32_t txdctl() const noexcept { return txdctl_; }
  void set_txdctl(uint32_t value) noexcept { txdctl_ = value; }

  [[nodiscard]] size_t fetch(std::span<TxFrame> frames) noexcept;
  void complete(size_t accepted) noexcept;
  [[nodiscard]] bool arm() noexcept;
  void disarm() noexcept;
  // The driver has named a block: shows it where we are, and that we sleep.
  void introduce() noexcept;

 private:
  static constexpr size_t kArena = 1024;             // pieces of all frames of a fetch
  static constexpr uint32_t kHeldBytes = 256 << 10;  // the longest packet to be segmented here
  static constexpr uint32_t kMostBytes = 16288;      // the longest that is not: SDM 3.3.3
  static constexpr uint32_t kMostRounds = 1000;      // of looking, however many the driver asks for
  static constexpr uint32_t kMostSteps = 8192;       // descriptors of one fetch
  static constexpr size_t kHeadRoom = 272;           // a head, and a VLAN tag

  // A place in the ring, and what is in force there.
  struct Place {
    uint32_t index;
    TxContexts contexts;
  };
  enum class Find : uint8_t { kNothing, kPart, kWhole, kBroken };
  struct Found {
    uint32_t start = 0;  // its first descriptor
    uint32_t pieces = 0;
    bool many = false;  // more pieces than a frame may have: they were not kept
    uint64_t bytes = 0;
    TxRequest request;
  };
  enum class Make : uint8_t { kFrame, kHold, kDrop };
  struct Fetched {
    Place after;
    uint32_t bytes, segments;
    uint32_t longest, last;  // bytes of its segments: all but the last, and that
    const uint8_t* head;
  };
  // A frame gathered in held_bytes_.
  struct Held {
    uint32_t bytes = 0;
    bool open = false;   // its end is still to come; the descriptors so far were given back
    bool ready = false;  // it is whole, and goes out as `segments` frames, of which `accepted` were
    bool too_long = false;
    TxRequest request;
    TxContext context;
    uint32_t segments = 0, accepted = 0;
    Place after;
  };

  bool begin(uint32_t& tail) noexcept;
  size_t walk(std::span<TxFrame> frames, uint32_t tail) noexcept;
  bool walk_plain(std::span<TxFrame> frames, uint32_t tail, uint32_t& steps, Place& place) noexcept;
  Find find(Place& place, uint32_t tail, uint32_t& steps, Found& found) noexcept;
  bool add_piece(const TxDescriptor& descriptor, Found& found) noexcept;
  Make make(const Found& found, const TxContexts& contexts, TxFrame& frame) noexcept;
  Make make_segment(std::span<const Source> pieces, const TxContext& context, const TxRequest& request,
                    TxFrame& frame) noexcept;
  std::span<const Source> take_head(std::span<const Source> pieces, uint32_t bytes) noexcept;
  void insert_tag(uint16_t tag, TxFrame& frame) noexcept;
  void pad(TxFrame& frame) noexcept;
  bool gather(uint32_t from, uint32_t to) noexcept;
  bool hold(const Found& found, const Place& after) noexcept;
  size_t fetch_held(std::span<TxFrame> frames) noexcept;
  void cut(uint32_t index, TxFrame& frame) noexcept;
  void drop(Drop cause, const Place& after) noexcept;
  void record(const TxFrame& frame, const Place& after) noexcept;
  void give_back(const Place& until) noexcept;
  void count(size_t accepted) noexcept;

  State& state_;
  Ring ring_;
  uint32_t txdctl_ = 0;
  TxContexts contexts_;  // at the head
  Held held_;
  size_t fetched_ = 0;
  size_t arena_used_ = 0;
  bool armed_ = false;
  uint32_t idle_rounds_ = 0;
  uint32_t generation_ = 0;        // of the memory, at the last fetch
  uint32_t layout_ = 0;            // of the ring, then
  Drop cause_ = Drop::kTxOffload;  // of the last Make::kDrop
  std::array<Fetched, kMaxFetch> record_;
  std::array<Source, kArena> arena_;
  std::array<std::array<uint8_t, kHeadRoom>, kMaxFetch> heads_;
  std::unique_ptr<uint8_t[]> held_bytes_;
};

}  // namespace unetmap::e1000
