// SPDX-License-Identifier: BSD-2-Clause
// What a request is answered with, and where: at once, or later by whoever it was moved to.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/fd.hh"
#include "base/result.hh"

namespace unetmap::daemon {

struct Answer {
  std::vector<uint8_t> body;
  std::vector<int> fds;
  bool has_bind = false;
  UniqueFd owned;  // one of `fds`, made for this answer

  // A text of any length, as a memfd.
  Result<void> add_text(const std::string& text);
};

// The place that waits for an answer. One that was never answered hangs up on the asker.
class Reply {
 public:
  Reply() = default;
  Reply(UniqueFd to, uint16_t op) : to_(std::move(to)), op_(op) {}

  // Nobody waits here: it was answered, or moved on to who will.
  bool done() const { return !to_; }
  // Never waits: if it cannot be sent, the asker is gone or not listening, which is his affair.
  void send(const Result<void>& result, Answer&& answer = {});

 private:
  UniqueFd to_;
  uint16_t op_ = 0;
};

}  // namespace unetmap::daemon
