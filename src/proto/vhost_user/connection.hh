// SPDX-License-Identifier: BSD-2-Clause
// A connection to a front-end: whole requests come out, answers go in. Never blocks.
#pragma once

#include <optional>

#include "proto/incoming.hh"
#include "proto/vhost_user/parse.hh"

namespace unetmap::vhost_user {

struct Reply {
  uint32_t request = 0;
  uint32_t size = 0;
  alignas(8) std::array<uint8_t, 64> payload{};

  template <class T>
  static Reply of(Id id, const T& value) {
    static_assert(sizeof(T) <= 64);
    Reply reply{uint32_t(id), sizeof(T)};
    memcpy(reply.payload.data(), &value, sizeof value);
    return reply;
  }
};

class Connection {
 public:
  // A connected stream socket.
  explicit Connection(UniqueFd socket)
      : incoming_(std::move(socket), "front-end", sizeof(Header) + kMaxPayload, kMaxFds) {}

  int fd() const { return incoming_.fd(); }

  // The next request; none if it has not come whole yet. Errors, after which nothing can be read any more: ECONNRESET
  // the other end is gone; EPROTO what it sent is no request.
  Result<std::optional<Request>> receive();
  // Errors: as above; EAGAIN the other end does not take its answers.
  Result<void> send(const Reply& reply);

 private:
  proto::Incoming incoming_;
};

}  // namespace unetmap::vhost_user
