// SPDX-License-Identifier: BSD-2-Clause
#include "wire/framing.hh"

#include <cerrno>
#include <cstring>
#include <string>

namespace unetmap::wire {

RequestHead request_head(Op op, size_t body_bytes) { return {kMagic, kVersion, uint16_t(op), uint32_t(body_bytes), 0}; }

std::vector<uint8_t> request_bytes(Op op, std::span<const uint8_t> body) {
  const RequestHead head = request_head(op, body.size());
  std::vector<uint8_t> out(sizeof head + body.size());
  memcpy(out.data(), &head, sizeof head);
  if (!body.empty()) memcpy(out.data() + sizeof head, body.data(), body.size());
  return out;
}

Result<ReplyParts> take_apart(std::span<const uint8_t> datagram) {
  ReplyHead head;
  if (datagram.size() < sizeof head) return Error{EPROTO, "unetmapd: reply cut short; end it and try again"};
  memcpy(&head, datagram.data(), sizeof head);
  std::span<const uint8_t> rest = datagram.subspan(sizeof head);
  // Whatever else it says has the form of its version, not of ours.
  if (head.magic == kMagic && head.version != kVersion)
    return Error{EPROTO, "unetmapd: is of another version of unetmap (its protocol is " + std::to_string(head.version) +
                             ", this program's " + std::to_string(kVersion) +
                             "); end it and try again, or use the programs that came with it"};
  if (head.magic != kMagic || uint64_t{head.body_bytes} + head.text_bytes != rest.size())
    return Error{EPROTO, "unetmapd: reply not understood; end it and try again"};
  ReplyParts parts;
  parts.error = head.error;
  parts.has_bind = head.has_bind != 0;
  parts.body = rest.subspan(0, head.body_bytes);
  parts.text.assign(reinterpret_cast<const char*>(rest.data()) + head.body_bytes, head.text_bytes);
  return parts;
}

}  // namespace unetmap::wire
