// SPDX-License-Identifier: BSD-2-Clause
// What a switch's tap gets for each packet that is sent on the switch: a TapHead, TapDest[listed], then the frame,
// without a virtio-net header before it.
//
// Written by senders, read by whoever opened the tap. Records lie in memory that any program of the switch can write: a
// reader copies one, then checks it by tap_record().
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

namespace unetmap {

// How a sender found out where a packet goes.
enum class TapWay : uint8_t {
  kRefused = 0,    // it goes nowhere: `cause` says why
  kTable = 1,      // the forwarding table has its destination
  kSlot = 2,       // the slot names the port
  kUnknown = 3,    // to everybody, as the table has no such address
  kEverybody = 4,  // to everybody: broadcast or multicast
  kEnd = 5,
};

// What became of it.
enum class TapCause : uint8_t {
  kDelivered = 0,
  kFull = 1,        // no room
  kOversize = 2,    // of more buffers than the ring can ever hold
  kUnreadable = 3,  // NS_INDIRECT with an address that cannot be read
  kConvert = 4,     // no valid form without its virtio-net header, or the other way round
  kGone = 5,        // there is no such port
  kIsolated = 6,    // a port of the same isolated group
  kSpoofed = 7,     // a source address that the sender's fence does not allow
  kRate = 8,        // above the sender's rate
  kOwn = 9,         // the destination is at the sender's own port
  kMalformed = 10,  // shorter than 14 bytes, or a broken chain of slots
  kBuffer = 11,     // a buffer index, offset or length that cannot be
  kWaits = 12,      // it stays with its sender until there is room: the destination is lossless
  kVlan = 13,       // of a VLAN that the sender's port is not in
  kAcl = 14,        // an access list denies it
  kLinkLocal = 15,  // to 01:80:c2:00:00:0x, which the port has a rule against
  kEnd = 16,
};

constexpr uint32_t kTapMagic = 0x31504154;  // "TAP1"
// Of the destinations of a packet; those that it did not reach first go into the list.
constexpr uint32_t kTapListed = 512;

struct TapHead {
  uint32_t magic;
  uint32_t generation;   // the sender's
  uint64_t time_ns;      // CLOCK_MONOTONIC, before it was delivered to anybody
  uint32_t frame_bytes;  // of the whole frame
  uint32_t kept_bytes;   // of it, in the record
  uint32_t dests;        // that it was meant for
  uint32_t delivered;    // of them, got it
  uint16_t port;         // the sender's index
  uint16_t ring;
  uint16_t listed;
  TapWay way;
  TapCause cause;  // of kRefused; kWaits where it waits; else kDelivered
};
static_assert(sizeof(TapHead) == 40);

struct TapDest {
  uint32_t generation;  // 0: there was no such port
  uint16_t port;
  TapCause cause;
  uint8_t reserved;
};
static_assert(sizeof(TapDest) == 8);

constexpr uint32_t kTapHeadBytes = sizeof(TapHead) + kTapListed * sizeof(TapDest);

struct TapRecord {
  TapHead head;
  std::span<const uint8_t> dests;  // TapDest[head.listed], perhaps at an odd address
  std::span<const uint8_t> frame;

  TapDest dest(size_t i) const {
    TapDest out;
    memcpy(&out, dests.data() + i * sizeof out, sizeof out);
    return out;
  }
};

// What `bytes`, which nobody else can write, are a record of; no value if they are none.
inline std::optional<TapRecord> tap_record(std::span<const uint8_t> bytes) {
  TapRecord out{};
  if (bytes.size() < sizeof out.head) return std::nullopt;
  memcpy(&out.head, bytes.data(), sizeof out.head);
  const TapHead& head = out.head;
  if (head.magic != kTapMagic || head.way >= TapWay::kEnd || head.cause >= TapCause::kEnd || head.listed > kTapListed ||
      head.listed > head.dests || head.delivered > head.dests || head.kept_bytes > head.frame_bytes)
    return std::nullopt;
  const size_t dest_bytes = head.listed * sizeof(TapDest);
  if (bytes.size() - sizeof head != dest_bytes + head.kept_bytes) return std::nullopt;
  out.dests = bytes.subspan(sizeof head, dest_bytes);
  out.frame = bytes.subspan(sizeof head + dest_bytes);
  for (size_t i = 0; i < head.listed; i++)
    if (out.dest(i).cause >= TapCause::kEnd) return std::nullopt;
  return out;
}

}  // namespace unetmap
