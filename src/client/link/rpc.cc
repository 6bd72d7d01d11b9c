// SPDX-License-Identifier: BSD-2-Clause
#include "client/link/rpc.hh"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "base/fd_message.hh"
#include "wire/channel.hh"
#include "wire/framing.hh"

namespace unetmap::client {
namespace {

// Of a connection that was hung up. What a daemon says before it does that to those that it does not serve stays there
// for whoever asks next; that an unread request was thrown away (ECONNRESET) is told once, and before it.
Error daemon_gone(int connection) {
  for (int attempt = 0; attempt < 2; attempt++) {
    auto last = wire::receive(connection, wire::kMaxReply, MSG_DONTWAIT | MSG_PEEK);
    if (!last || last->bytes.empty()) continue;
    if (auto parts = wire::take_apart(last->bytes); parts && parts->error != 0)
      return {parts->error, std::move(parts->text)};
  }
  return {ENXIO, "unetmapd: the daemon of this descriptor is gone; close it and open " NETMAP_DEVICE_NAME
                 " again, which starts a new one"};
}

Result<void> send_request(int connection, std::span<const uint8_t> bytes, std::span<const int> fds) {
  for (;;) {
    auto sent = wire::send(connection, bytes, fds, MSG_DONTWAIT);
    if (sent) return {};
    if (sent.error().code == EPIPE || sent.error().code == ECONNRESET) return daemon_gone(connection);
    if (sent.error().code != EAGAIN) return sent.error();
    pollfd ready{connection, POLLOUT, 0};
    syscall(SYS_ppoll, &ready, 1, nullptr, nullptr, 0);
  }
}

Result<Reply> parse_reply(wire::Datagram&& datagram, std::vector<uint8_t>* refused) {
  auto parts = wire::take_apart(datagram.bytes);
  if (!parts) return parts.error();
  Reply reply;
  std::span<const uint8_t> body = parts->body;
  if (parts->has_bind && body.size() >= sizeof reply.bind) {
    memcpy(&reply.bind, body.data() + body.size() - sizeof reply.bind, sizeof reply.bind);
    body = body.subspan(0, body.size() - sizeof reply.bind);
    reply.has_bind = true;
  }
  reply.body.assign(body.begin(), body.end());
  reply.fds = std::move(datagram.fds);
  if (parts->error != 0) {
    if (refused) *refused = std::move(reply.body);
    return Error{parts->error, std::move(parts->text)};
  }
  return reply;
}

}  // namespace

Result<Reply> ask(int connection, wire::Op op, std::span<const uint8_t> body, std::span<const int> more,
                  std::vector<uint8_t>* refused) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
    return Error::from_errno(errno, "unetmapd: socket for its reply");
  UniqueFd ours(pair[0]), theirs(pair[1]);
  std::vector<uint8_t> bytes = wire::request_bytes(op, body);
  std::vector<int> fds{theirs.get()};
  fds.insert(fds.end(), more.begin(), more.end());
  // All that is needed for the answer: what was done and cannot be told would stay done.
  wire::Datagram datagram = wire::empty_datagram(wire::kMaxReply);
  if (auto sent = send_request(connection, bytes, fds); !sent) return sent.error();
  theirs.reset();
  auto received = wire::receive_into(datagram, ours.get());
  if (!received && received.error().code == EMSGSIZE)
    return Error{EMFILE, "unetmapd: the answer's descriptors; the program has too many files open, raise its limit "
                         "(ulimit -n)"};
  if (!received && received.error().code != ECONNRESET) return received.error();
  if (!received || datagram.bytes.empty()) return daemon_gone(connection);
  try {
    return parse_reply(std::move(datagram), refused);
  } catch (const std::bad_alloc&) {
    wire::ReplyHead head{};
    memcpy(&head, datagram.bytes.data(), std::min(sizeof head, datagram.bytes.size()));
    if (op == wire::Op::kControl && head.error == 0 && head.has_bind) tell_and_wait(connection, wire::Op::kUnbind);
    throw;
  }
}

void tell_and_wait(int connection, wire::Op op) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) return tell(connection, op, {});
  UniqueFd ours(pair[0]), theirs(pair[1]);
  const wire::RequestHead head = wire::request_head(op, 0);
  const int with = theirs.get();
  if (!send_request(connection, {reinterpret_cast<const uint8_t*>(&head), sizeof head}, {&with, 1})) return;
  theirs.reset();
  uint8_t answer[sizeof(wire::ReplyHead)];
  while (syscall(SYS_recvfrom, ours.get(), answer, sizeof answer, 0, nullptr, nullptr) < 0 && errno == EINTR) {
  }
}

void tell(int connection, wire::Op op, std::span<const uint8_t> body) {
  // No memory is needed for it: others wait for what is told.
  constexpr size_t kMost = 64;
  uint8_t bytes[sizeof(wire::RequestHead) + kMost];
  if (body.size() > kMost) return;
  const wire::RequestHead head = wire::request_head(op, body.size());
  memcpy(bytes, &head, sizeof head);
  if (!body.empty()) memcpy(bytes + sizeof head, body.data(), body.size());
  const FdMessage message(bytes, sizeof head + body.size(), {});
  while (syscall(SYS_sendmsg, connection, message.header(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EINTR) {
  }
}

}  // namespace unetmap::client
