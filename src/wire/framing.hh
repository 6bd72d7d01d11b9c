// SPDX-License-Identifier: BSD-2-Clause
// Requests and replies as datagrams, as those who ask the daemon need it.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/result.hh"
#include "wire/messages.hh"

namespace unetmap::wire {

RequestHead request_head(Op op, size_t body_bytes);
// A RequestHead and the body behind it.
std::vector<uint8_t> request_bytes(Op op, std::span<const uint8_t> body);

// A reply taken apart; the spans point into the datagram. `error` is what the daemon says, 0 if it did what was asked.
struct ReplyParts {
  int error = 0;
  bool has_bind = false;
  std::span<const uint8_t> body;  // a BindInfo at its end included
  std::string text;
};

// EPROTO for bytes that are no reply: cut short, or of another version.
Result<ReplyParts> take_apart(std::span<const uint8_t> datagram);

}  // namespace unetmap::wire
