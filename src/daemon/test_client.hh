// SPDX-License-Identifier: BSD-2-Clause
// The client's side of the protocol, for tests.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cstring>
#include <string>
#include <vector>

#include "base/fd.hh"
#include "daemon/registry/registry.hh"
#include "daemon/server.hh"
#include "wire/channel.hh"

namespace unetmap::daemon {

inline wire::ControlRequest register_request(const std::string& name, uint32_t mode = NR_REG_ALL_NIC, uint64_t flags = 0) {
  wire::ControlRequest request;
  request.type = NETMAP_REQ_REGISTER;
  request.name = name;
  nmreq_register body{};
  body.nr_mode = mode;
  body.nr_flags = flags;
  request.set_body(body);
  return request;
}

template <class T>
wire::ControlRequest request_of(uint16_t type, const std::string& name, const T& body) {
  wire::ControlRequest request;
  request.type = type;
  request.name = name;
  request.set_body(body);
  return request;
}

// A connection served by `server` in the same thread.
class TestClient {
 public:
  explicit TestClient(Server& server) : server_(server) {
    int pair[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    socket_ = UniqueFd(pair[0]);
    EXPECT_TRUE(server.adopt(UniqueFd(pair[1]), getpid()).has_value());
  }

  struct Reply {
    bool came = false;
    wire::ReplyHead head{};
    std::vector<uint8_t> body;
    std::string text;
    std::vector<UniqueFd> fds;
    wire::BindInfo bind() const {
      wire::BindInfo out{};
      if (body.size() >= sizeof out) memcpy(&out, body.data() + body.size() - sizeof out, sizeof out);
      return out;
    }
  };

  Reply ask(wire::Op op, std::span<const uint8_t> body = {}) {
    wire::RequestHead head{wire::kMagic, wire::kVersion, uint16_t(op), uint32_t(body.size()), 0};
    std::vector<uint8_t> bytes(sizeof head + body.size());
    memcpy(bytes.data(), &head, sizeof head);
    if (!body.empty()) memcpy(bytes.data() + sizeof head, body.data(), body.size());
    return ask_raw(bytes);
  }
  template <class T>
  Reply ask_struct(wire::Op op, const T& body) {
    return ask(op, {reinterpret_cast<const uint8_t*>(&body), sizeof body});
  }
  Reply control(const wire::ControlRequest& request) { return ask(wire::Op::kControl, wire::flatten(request)); }

  Reply ask_raw(std::span<const uint8_t> bytes) {
    int pair[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    UniqueFd ours(pair[0]), theirs(pair[1]);
    int fds[] = {theirs.get()};
    EXPECT_TRUE(wire::send(socket_.get(), bytes, fds).has_value());
    theirs.reset();
    run();
    Reply out;
    auto got = wire::receive(ours.get(), wire::kMaxReply, MSG_DONTWAIT);
    if (!got || got->bytes.size() < sizeof out.head) return out;
    out.came = true;
    memcpy(&out.head, got->bytes.data(), sizeof out.head);
    auto rest = got->bytes.begin() + sizeof out.head;
    EXPECT_EQ(got->bytes.size(), sizeof out.head + out.head.body_bytes + out.head.text_bytes);
    out.body.assign(rest, rest + out.head.body_bytes);
    out.text.assign(rest + out.head.body_bytes, got->bytes.end());
    out.fds = std::move(got->fds);
    return out;
  }

  // Lets the server do all there is to do.
  void run() {
    for (;;) {
      auto more = server_.step(0);
      ASSERT_TRUE(more.has_value());
      if (!*more) return;
    }
  }
  void close() {
    socket_.reset();
    run();
  }
  int socket() const { return socket_.get(); }

 private:
  Server& server_;
  UniqueFd socket_;
};

}  // namespace unetmap::daemon
