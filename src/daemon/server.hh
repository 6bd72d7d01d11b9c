// SPDX-License-Identifier: BSD-2-Clause
// The sockets in front of the Registry: accepts connections, reads requests, answers them.
//
// A connection is a netmap descriptor (a File); its hang-up is the end of its last copy. One message is taken from a
// connection at a time, answers are sent without waiting, and an answer that cannot be sent is dropped: no client can
// keep another one waiting.
#pragma once

#include <functional>
#include <unordered_map>

#include "base/fd.hh"
#include "base/result.hh"
#include "daemon/plug/plugs.hh"
#include "daemon/process/event_loop.hh"
#include "daemon/process/reply.hh"
#include "daemon/registry/registry.hh"
#include "wire/channel.hh"

namespace unetmap::daemon {

class Server {
 public:
  // `listener`: a listening SOCK_SEQPACKET socket, or none.
  static Result<std::unique_ptr<Server>> create(UniqueFd listener);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Waits at most `timeout_ms` (-1: without end) for something to do and does it. False when nothing came in time.
  Result<bool> step(int timeout_ms);
  // Takes a connection that exists already.
  Result<void> adopt(UniqueFd connection, pid_t pid);
  // Has `ready` called from step() when `fd` is readable.
  Result<void> watch(int fd, std::function<void()> ready) { return loop_.watch(fd, std::move(ready)); }

  EventLoop& loop() { return loop_; }
  Registry& registry() { return registry_; }
  Plugs& plugs() { return plugs_; }
  Interfaces& interfaces() { return interfaces_; }
  size_t connections() const { return connections_.size(); }
  bool idle() const { return connections_.empty() && registry_.idle() && plugs_.empty() && interfaces_.empty(); }

 private:
  explicit Server(EventLoop loop) : loop_(std::move(loop)) {
    interfaces_.on_settled = plugs_.on_settled = [this] { settled_ = true; };
    plugs_.on_awake = [this] {
      registry_.attachments().shortcuts().wake();
      refresh_shortcuts();
    };
    registry_.use_service(plugs_);
  }
  struct Connection {
    UniqueFd fd;
    File* file;
  };

  // A netmap request that waits for a keeper.
  struct Waiting {
    int connection;
    uint32_t file;
    std::vector<uint8_t> body;
    Origin origin;
    Reply reply;
  };

  // Somebody who asked for a port that is not there yet: {"what":"wait","port":NAME}.
  struct Awaiting {
    int connection;
    uint32_t file;
    std::string port;
    Reply reply;
  };
  static constexpr size_t kMostAwaiting = 256;
  // Takes the reply of such a question for an answer of later; false for other questions.
  bool awaits_port(const Connection& connection, const std::string& question, Reply& reply);
  void answer_awaiting();

  void accept_one();
  // Ends a connection that is not served, and tells its other end why.
  void turn_away(UniqueFd connection, const Error& why);
  void handle(int fd);
  bool serve(Connection& connection, wire::Datagram&& request);
  // Moves `reply` away where the answer comes later.
  Result<void> carry_out(Connection& connection, wire::Op op, std::span<const uint8_t> body, std::vector<UniqueFd>& fds,
                         Answer& answer, Reply& reply);
  void control(Connection& connection, std::vector<uint8_t> body, Origin origin, Reply reply);
  void retry_waiting();
  void refresh_shortcuts();
  void add_binding(const File& file, Answer& answer);

  EventLoop loop_;
  bool settled_ = false;
  bool refreshing_ = false;  // a timer runs
  Interfaces interfaces_{loop_};
  std::vector<Waiting> waiting_;
  std::vector<Awaiting> awaiting_;
  Registry registry_;
  Plugs plugs_{loop_, registry_};
  UniqueFd listener_, spare_;
  std::unordered_map<int, Connection> connections_;
};

}  // namespace unetmap::daemon
