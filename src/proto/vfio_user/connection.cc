// SPDX-License-Identifier: BSD-2-Clause
#include "proto/vfio_user/connection.hh"

#include <sys/socket.h>

namespace unetmap::vfio_user {

Result<std::optional<Request>> Connection::receive(bool may_read) {
  auto message = incoming_.next<Header>(
      [](const Header& header) -> Result<size_t> {
        auto rule = expect(header);
        if (!rule) return rule.error();
        return header.size;
      },
      may_read);
  if (!message) return message.error();
  if (!*message) return std::optional<Request>();
  auto request = parse((*message)->header, (*message)->payload, std::move((*message)->fds));
  if (!request) return request.error();
  return std::optional<Request>(std::move(*request));
}

Result<void> Connection::send(const Reply& reply) {
  std::span<const uint8_t> bytes = reply.bytes();
  ssize_t n = ::send(incoming_.fd(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n == ssize_t(bytes.size())) return {};
  if (n >= 0 || errno == EAGAIN) return Error{EAGAIN, "client: does not take its answers"};
  return Error::from_errno(errno == EPIPE ? ECONNRESET : errno, "client: answer");
}

}  // namespace unetmap::vfio_user
