// SPDX-License-Identifier: BSD-2-Clause
// VLANs on ports: which one a frame is in, who gets it, and what becomes of its tag on the way.
//
// As in Open vSwitch: a port of which nothing is set carries all VLANs, each frame with its tag, and what has none is
// in VLAN 0. An access port is in one VLAN, without tags. A trunk carries some, with tags, and may have one of them
// without (native). A tunnel is an access port that takes and gives frames with any tags: on a trunk they have one more
// before them, of 802.1ad. The outer tag counts, whichever of both types it has; what is behind it nobody looks at.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>

#include "ring/layout.hh"
#include "vale/wire_bytes.hh"

namespace unetmap::vale {

constexpr uint16_t kVlanType = 0x8100, kServiceVlanType = 0x88a8;
constexpr uint32_t kTagAt = 12, kTagBytes = 4, kMostVid = 4094;
// What of a frame its VLAN depends on, and how long one with a tag is at least.
constexpr uint32_t kTaggedStart = 16, kLeastTagged = 18;

enum class VlanMode : uint8_t { kNone, kAccess, kTrunk, kTunnel, kEnd };

// The VLAN of a frame, and what tag it has.
struct VlanForm {
  enum Tag : uint16_t { kNoTag = 0, kTagged = 1, kPriority = 2, kCustomer = 3 };  // kPriority: a tag of VLAN 0
  // Not to be had.
  static constexpr uint16_t kRefused = 0xffff;
  static constexpr uint16_t of(Tag tag, uint16_t vid) { return uint16_t(tag << 12 | vid); }
  static constexpr uint16_t vid(uint16_t form) { return form & 0xfff; }
  static constexpr Tag tag(uint16_t form) { return Tag(form >> 12 & 3); }
};

// What is done with a frame's tag on its way out of the switch.
struct TagChange {
  enum Kind : uint8_t { kNone, kPush, kPushService, kPop, kRetag } kind = kNone;
  uint16_t vid = 0;
  explicit operator bool() const { return kind != kNone; }
  int bytes() const { return kind == kPop ? -int(kTagBytes) : kind == kNone || kind == kRetag ? 0 : int(kTagBytes); }
};

struct VlanRules {
  VlanMode mode = VlanMode::kNone;
  uint16_t vid = 0;                    // of an access port or tunnel; of a trunk, its native one, 0: none
  std::array<uint64_t, 64> carried{};  // of a trunk; 0 stands for frames without a tag

  bool carries(uint16_t v) const { return carried[v / 64] >> (v % 64) & 1; }
  void carry(uint16_t v) { carried[v / 64] |= uint64_t{1} << (v % 64); }

  // Whether the port gets frames of this VLAN.
  bool has(uint16_t v) const {
    switch (mode) {
      case VlanMode::kAccess:
      case VlanMode::kTunnel:
        return v == vid;
      case VlanMode::kTrunk:
        return carries(v) || (vid != 0 && v == vid);
      default:
        return true;
    }
  }

  // The VlanForm of a frame that comes in by this port, or VlanForm::kRefused. `frame`: from its addresses on, 18 bytes
  // or all there is.
  uint16_t classify(std::span<const uint8_t> frame) const {
    using F = VlanForm;
    if (mode == VlanMode::kTunnel) return F::of(F::kCustomer, vid);
    const uint16_t type = load_be16(frame.data() + kTagAt);
    const bool tagged = frame.size() >= kLeastTagged && (type == kVlanType || type == kServiceVlanType);
    const uint16_t in_tag = tagged ? load_be16(frame.data() + kTagAt + 2) & 0xfff : 0;
    if (in_tag > kMostVid) return F::kRefused;
    const F::Tag untagged = tagged ? F::kPriority : F::kNoTag;
    switch (mode) {
      case VlanMode::kAccess:
        return in_tag == 0 ? F::of(untagged, vid) : F::kRefused;
      case VlanMode::kTrunk:
        if (in_tag != 0) return has(in_tag) ? F::of(F::kTagged, in_tag) : F::kRefused;
        if (vid != 0) return F::of(untagged, vid);
        return carries(0) ? F::of(F::kNoTag, 0) : F::kRefused;
      default:
        return in_tag != 0 ? F::of(F::kTagged, in_tag) : F::of(F::kNoTag, 0);
    }
  }

  // What a frame of this form needs to leave by this port.
  TagChange change(uint16_t form) const {
    const uint16_t v = VlanForm::vid(form);
    if (v == 0) return {};
    const bool wants_tag = mode == VlanMode::kNone || (mode == VlanMode::kTrunk && v != vid);
    switch (VlanForm::tag(form)) {
      case VlanForm::kNoTag:
        return {wants_tag ? TagChange::kPush : TagChange::kNone, v};
      case VlanForm::kCustomer:
        return {wants_tag ? TagChange::kPushService : TagChange::kNone, v};
      case VlanForm::kTagged:
        return {wants_tag ? TagChange::kNone : TagChange::kPop, v};
      case VlanForm::kPriority:
        return {wants_tag ? TagChange::kRetag : TagChange::kPop, v};
    }
    return {};
  }
};

// The four bytes of a tag.
inline void store_tag(uint8_t* at, TagChange change) {
  store_be16(at, change.kind == TagChange::kPushService ? kServiceVlanType : kVlanType);
  store_be16(at + 2, change.vid);
}

// Another VLAN in a tag that is there; its priority stays.
inline void store_vid(uint8_t* at, uint16_t vid) { store_be16(at + 2, uint16_t((load_be16(at + 2) & 0xf000) | vid)); }

}  // namespace unetmap::vale
