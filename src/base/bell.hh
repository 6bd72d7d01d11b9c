// SPDX-License-Identifier: BSD-2-Clause
// Writing to the descriptors that a front-end or client gave us to be told by: eventfds, and pipes.
//
// Whether a write to one may block is the other side's to say, and its flag is one for all who share the descriptor: we
// leave it alone. A blocking one that is full - which nobody honest lets happen - would hold up all ports of this
// process. So a timer runs while bells are rung, whose signal ends a write that does not come back; without bells it
// stops by itself. Costs nothing beyond the write.
#pragma once

namespace unetmap {

enum class Rung {
  kDone,     // or full and not blocking: the other side has not looked since
  kBlocked,  // gave up after kBellPatience_ms
};

inline constexpr int kBellPatience_ms = 50;

// One thread of a process. To be called once before the first, while signal handlers may still be set: until then bells
// ring without the timer, and one that is full and blocks is waited for.
void prepare_bells();
Rung ring_bell(int fd);
// Takes back what was rung and nobody has read yet; false if there is none, or it cannot be. Never waits.
bool take_back(int fd);

// Whether `fd` is an eventfd, as far as a descriptor tells: no file, socket or pipe, to which a write could have any
// effect. What else has no type (timers, epoll instances) refuses writes.
bool is_eventfd(int fd);

}  // namespace unetmap
