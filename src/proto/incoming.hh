// SPDX-License-Identifier: BSD-2-Clause
// What comes over a connected stream socket: bytes, gathered until a message is whole, and the descriptors sent with
// them. Never blocks, and reads all there is with one call, for peers send messages without waiting for answers.
//
// Whose descriptors are they? The kernel hands them out with the bytes they were sent with, and ends a read behind
// those: so they belong to the message that the read's last byte is a part of.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/fd.hh"
#include "base/result.hh"

namespace unetmap::proto {

class Incoming {
 public:
  // `peer` names who is at the other end in errors. Messages have at most so many bytes and descriptors.
  Incoming(UniqueFd socket, const char* peer, size_t most_bytes, size_t most_fds);

  int fd() const { return socket_.get(); }

  // A message, its payload valid until the next one is asked for.
  template <class Header>
  struct Message {
    Header header;
    std::span<const uint8_t> payload;
    std::vector<UniqueFd> fds;
  };
  // The next message; none if it has not come whole yet. `whole(header)` gives its bytes, header included, or an error:
  // before the payload is waited for, its size has to be one that fits. Errors, after which nothing can be read any
  // more: that, ECONNRESET the other end is gone, EPROTO more descriptors than a message has. Without `may_read` one of
  // those that were read already, of which no wait for the socket tells.
  template <class Header, class Whole>
  Result<std::optional<Message<Header>>> next(Whole whole, bool may_read = true) {
    may_read_ = may_read;
    auto bytes = look(sizeof(Header));
    if (!bytes) return bytes.error();
    if (bytes->empty()) return std::optional<Message<Header>>();
    Header header;
    memcpy(&header, bytes->data(), sizeof header);
    const Result<size_t> size = whole(header);
    if (!size) return size.error();
    bytes = look(*size);
    if (!bytes) return bytes.error();
    if (bytes->empty()) return std::optional<Message<Header>>();
    const auto payload = bytes->subspan(sizeof header, *size - sizeof header);
    return std::optional<Message<Header>>({header, payload, take(*size)});
  }
  // Whether next() is worth another call before the socket is waited for: false when the last read was the last there
  // was.
  bool more() const { return have() > 0 || !drained_; }

 private:
  size_t have() const { return end_ - begin_; }
  // The next bytes, so many at least, reading if need be; empty if they have not come yet.
  Result<std::span<const uint8_t>> look(size_t bytes);
  // Takes the message of the first `bytes` of them; its descriptors.
  std::vector<UniqueFd> take(size_t bytes);
  Result<bool> read();

  UniqueFd socket_;
  const char* const peer_;
  const size_t capacity_, most_fds_;
  std::unique_ptr<uint8_t[]> bytes_;
  size_t begin_ = 0, end_ = 0;  // of what was read and not taken
  struct Came {
    size_t at;  // in bytes_: the last byte of its read
    UniqueFd fd;
  };
  std::vector<Came> fds_;
  bool drained_ = false, may_read_ = true;
};

}  // namespace unetmap::proto
