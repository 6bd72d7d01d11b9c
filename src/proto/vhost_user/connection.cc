// SPDX-License-Identifier: BSD-2-Clause
#include "proto/vhost_user/connection.hh"

#include <sys/socket.h>

namespace unetmap::vhost_user {

Result<std::optional<Request>> Connection::receive() {
  auto message = incoming_.next<Header>([](const Header& header) -> Result<size_t> {
    auto rule = expect(header);
    if (!rule) return rule.error();
    return sizeof header + header.size;
  });
  if (!message) return message.error();
  if (!*message) return std::optional<Request>();
  auto request = parse((*message)->header, (*message)->payload, std::move((*message)->fds));
  if (!request) return request.error();
  return std::optional<Request>(std::move(*request));
}

Result<void> Connection::send(const Reply& reply) {
  Header header{reply.request, kVersion | kReply, reply.size};
  uint8_t bytes[sizeof header + sizeof reply.payload];
  memcpy(bytes, &header, sizeof header);
  memcpy(bytes + sizeof header, reply.payload.data(), reply.size);
  ssize_t n = ::send(incoming_.fd(), bytes, sizeof header + reply.size, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n == ssize_t(sizeof header + reply.size)) return {};
  if (n >= 0 || errno == EAGAIN)
    return Error{EAGAIN, name_of(reply.request) + ": the front-end does not take its answers"};
  return Error::from_errno(errno == EPIPE ? ECONNRESET : errno, name_of(reply.request) + ": answer");
}

}  // namespace unetmap::vhost_user
