// SPDX-License-Identifier: BSD-2-Clause
#include "fate.hh"

#include <fmt/core.h>

namespace unetmap::cli {
namespace {

constexpr uint32_t kShownDelivered = 8;  // ports that got a packet are named up to here

struct CauseWords {
  const char* name;
  const char* text;
};
constexpr CauseWords kCauses[] = {
    {"delivered", "delivered"},
    {"lost_full", "no room in its receive ring"},
    {"lost_oversize", "of more buffers than its receive ring holds"},
    {"lost_indirect", "its data cannot be read (NS_INDIRECT)"},
    {"lost_convert", "no valid form for a port of another virtio-net header"},
    {"lost_noport", "there is no such port"},
    {"lost_isolated", "of the same isolated group"},
    {"lost_spoofed", "a source address that the port's fence does not allow"},
    {"lost_rate", "above the port's rate"},
    {"own_port", "its destination is at the port that it came from"},
    {"lost_malformed", "no frame: shorter than 14 bytes, or a broken chain of slots"},
    {"lost_buffer", "a slot with a buffer, offset or length that cannot be"},
    {"waits", "waits for room, as that port is lossless"},
    {"lost_vlan", "of a VLAN that the port is not in"},
    {"lost_acl", "an access list denies it"},
    {"lost_link_local", "a link-local frame that the port has a rule against"},
};
static_assert(std::size(kCauses) == size_t(TapCause::kEnd));

constexpr CauseWords kWays[] = {
    {"refused", "refused"},
    {"table", "to a known address"},
    {"slot", "to the port that its slot names"},
    {"unknown", "to everybody, as its address is not known"},
    {"everybody", "to everybody"},
};
static_assert(std::size(kWays) == size_t(TapWay::kEnd));

}  // namespace

const char* cause_name(TapCause cause) { return kCauses[size_t(cause)].name; }
const char* cause_text(TapCause cause) { return kCauses[size_t(cause)].text; }
const char* way_name(TapWay way) { return kWays[size_t(way)].name; }

std::string fate_text(const TapRecord& record, const NameOf& name_of) {
  const TapHead& head = record.head;
  std::string out = kWays[size_t(head.way)].text;
  if (head.way == TapWay::kRefused) return out + ": " + cause_text(head.cause);
  if (head.dests == 0) return out + ": nobody else is on the switch";
  std::string delivered, others;
  uint32_t shown = 0;
  for (size_t i = 0; i < head.listed; i++) {
    const TapDest dest = record.dest(i);
    if (dest.cause == TapCause::kDelivered) {
      if (shown == kShownDelivered) continue;
      delivered += (shown++ ? ", " : "") + name_of(dest.port, dest.generation);
    } else {
      others += fmt::format("; {} {}{}", name_of(dest.port, dest.generation),
                            dest.cause == TapCause::kWaits ? "" : "lost, ", cause_text(dest.cause));
    }
  }
  if (head.delivered > shown) delivered += fmt::format("{}{} more", shown ? " and " : "", head.delivered - shown);
  if (!delivered.empty()) return out + ": " + delivered + " delivered" + others;
  return out + ": " + (others.empty() ? "" : others.substr(2));
}

bool concerns(const TapRecord& record, const std::string& port, const NameOf& name_of) {
  const TapHead& head = record.head;
  if (head.listed < head.dests || name_of(head.port, head.generation) == port) return true;
  for (size_t i = 0; i < head.listed; i++)
    if (const TapDest dest = record.dest(i); name_of(dest.port, dest.generation) == port) return true;
  return false;
}

}  // namespace unetmap::cli
