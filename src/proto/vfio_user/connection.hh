// SPDX-License-Identifier: BSD-2-Clause
// A connection to a client: whole requests come out, answers go in. Never blocks.
#pragma once

#include <array>
#include <optional>

#include "proto/incoming.hh"
#include "proto/vfio_user/parse.hh"

namespace unetmap::vfio_user {

// The bytes of an answer, header first.
class Reply {
 public:
  // Begins the answer to `request`, without payload.
  void begin(const Request& request) {
    Header header{request.id, uint16_t(request.command), sizeof(Header), kReply, 0};
    memcpy(bytes_.data(), &header, sizeof header);
    size_ = sizeof header;
  }
  // Instead of what was begun. `code` is an errno.
  void fail(const Request& request, int code) {
    Header header{request.id, uint16_t(request.command), sizeof(Header), kReply | kError, uint32_t(code)};
    memcpy(bytes_.data(), &header, sizeof header);
    size_ = sizeof header;
  }
  template <class T>
  void add(const T& value) {
    memcpy(room(sizeof value).data(), &value, sizeof value);
  }
  // So many bytes more, to be filled by the caller; at most kMaxPayload in all.
  std::span<uint8_t> room(size_t bytes) {
    std::span<uint8_t> out(bytes_.data() + size_, bytes);
    size_ += uint32_t(bytes);
    memcpy(bytes_.data() + offsetof(Header, size), &size_, sizeof size_);
    return out;
  }
  std::span<const uint8_t> bytes() const { return {bytes_.data(), size_}; }

 private:
  alignas(8) std::array<uint8_t, sizeof(Header) + kMaxPayload> bytes_;
  uint32_t size_ = 0;
};

class Connection {
 public:
  // A connected stream socket.
  explicit Connection(UniqueFd socket)
      : incoming_(std::move(socket), "client", sizeof(Header) + kMaxPayload, kMaxFds) {}

  int fd() const { return incoming_.fd(); }

  // The next request; none if it has not come whole yet. Errors, after which nothing can be read any more: ECONNRESET
  // the other end is gone; EPROTO what it sent is no request.
  // Without `may_read` one of those that were read already: the socket tells of others only.
  Result<std::optional<Request>> receive(bool may_read = true);
  // Errors: as above; EAGAIN the other end does not take its answers.
  Result<void> send(const Reply& reply);

  // Whether receive() is worth another call before the socket is waited for.
  bool more() const { return incoming_.more(); }

 private:
  proto::Incoming incoming_;
};

}  // namespace unetmap::vfio_user
