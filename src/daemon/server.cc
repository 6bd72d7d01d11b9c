// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/server.hh"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <new>

#include "base/output.hh"
#include "daemon/port/binding.hh"
#include "daemon/port/kept_numbers.hh"
#include "daemon/port/port_name.hh"
#include "daemon/process/log.hh"
#include "daemon/process/spare_memory.hh"

namespace unetmap::daemon {
namespace {

template <class T>
bool read_as(std::span<const uint8_t> bytes, T& out) {
  if (bytes.size() != sizeof out) return false;
  memcpy(&out, bytes.data(), sizeof out);
  return true;
}

template <class T>
void append(std::vector<uint8_t>& to, const T& value) {
  auto* p = reinterpret_cast<const uint8_t*>(&value);
  to.insert(to.end(), p, p + sizeof value);
}

constexpr int64_t kRefresh_ms = 200;  // shortcuts: about as long as TCP takes to come to speed

Error no_more_files() { return {EMFILE, "too many files are open; raise the limit (LimitNOFILE=, ulimit -Hn)"}; }

Error no_memory() { return {ENOMEM, "unetmapd: " + no_memory_text() + ", or close ports"}; }

// What needs memory for longer than its answer; what lets go of something is never refused.
bool asks_for_more(wire::Op op) {
  return op == wire::Op::kControl || op == wire::Op::kResolve || op == wire::Op::kDoorbell || op == wire::Op::kQuery ||
         op == wire::Op::kSet || op == wire::Op::kPlug;
}

Error malformed() { return {EINVAL, "request: malformed; library and daemon must be of the same version"}; }

}  // namespace

Result<std::unique_ptr<Server>> Server::create(UniqueFd listener) {
  auto loop = EventLoop::create();
  if (!loop) return loop.error();
  std::unique_ptr<Server> server(new Server(std::move(*loop)));
  server->spare_ = UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (listener) {
    int fd = listener.get();
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    server->listener_ = std::move(listener);
    if (auto watched = server->watch(fd, [s = server.get()] { s->accept_one(); }); !watched) return watched.error();
  }
  return server;
}

Server::~Server() {
  registry_.regions().leave_memory();
  for (auto& [fd, connection] : connections_) registry_.files().close(connection.file);
}

Result<void> Server::adopt(UniqueFd connection, pid_t pid) {
  int fd = connection.get();
  if (auto watched = loop_.watch(fd, [this, fd] { handle(fd); }); !watched) return watched.error();
  connections_[fd] = Connection{std::move(connection), registry_.files().open(pid)};
  return {};
}

void Server::turn_away(UniqueFd connection, const Error& why) {
  log("a client was turned away: " + why.text);
  // What nobody asked for, and whoever finds the connection hung up reads (client/link/rpc.cc).
  Reply(std::move(connection), 0).send(Error{why.code, "unetmapd: " + why.text});
}

void Server::accept_one() {
  UniqueFd connection(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!connection && (errno == EMFILE || errno == ENFILE) && spare_) {
    // Left waiting it would keep us awake for ever.
    spare_.reset();
    connection.reset(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (connection) turn_away(std::move(connection), no_more_files());
    spare_.reset(open("/dev/null", O_RDONLY | O_CLOEXEC));
    return;
  }
  if (!connection) return;
  if (kept_for_answers(connection.get())) return turn_away(std::move(connection), no_more_files());
  ucred peer{};
  socklen_t bytes = sizeof peer;
  if (getsockopt(connection.get(), SOL_SOCKET, SO_PEERCRED, &peer, &bytes) < 0) return;
  if (peer.uid != geteuid() && peer.uid != 0)
    return turn_away(std::move(connection),
                     {EACCES, "process " + std::to_string(peer.pid) + " is of user " + std::to_string(peer.uid) +
                                  ", and this daemon serves user " + std::to_string(geteuid()) +
                                  " and root; let it use its own"});
  if (auto adopted = adopt(std::move(connection), peer.pid); !adopted) log(adopted.error().text);
}

Result<bool> Server::step(int timeout_ms) {
  auto any = loop_.step(timeout_ms);
  if (settled_) retry_waiting();
  registry_.files().settle();
  if (!awaiting_.empty()) answer_awaiting();
  return any;
}

bool Server::awaits_port(const Connection& connection, const std::string& question, Reply& reply) {
  const auto asked = parse_json(question);
  if (!asked.is_object() || asked.value("what", Json()) != "wait") return false;
  const auto port = asked.find("port");
  if (port == asked.end() || !port->is_string()) {
    reply.send(Error{EINVAL, "question: \"wait\" needs the name of a port"});
  } else if (auto name = parse_port_name(port->get<std::string>()); !name) {
    reply.send(name.error());  // it would be waited for without end
  } else if (awaiting_.size() >= kMostAwaiting) {
    reply.send(Error{EAGAIN, port->get<std::string>() + ": too many wait for ports already; end some of them"});
  } else {
    awaiting_.push_back({connection.fd.get(), connection.file->id, port->get<std::string>(), std::move(reply)});
  }
  return true;
}

// Who has gone is not told any more.
void Server::answer_awaiting() {
  std::erase_if(awaiting_, [this](Awaiting& a) {
    auto found = connections_.find(a.connection);
    if (found == connections_.end() || found->second.file->id != a.file) return true;
    if (!registry_.ports().find(a.port)) return false;
    Answer answer;
    if (auto added = answer.add_text(json_text(Json{{"port", a.port}})); !added)
      a.reply.send(added.error());
    else
      a.reply.send({}, std::move(answer));
    return true;
  });
}

void Server::handle(int fd) {
  auto found = connections_.find(fd);
  if (found == connections_.end()) return;  // closed earlier in this batch
  // Behind a goodbye is the end, mostly.
  for (int behind_goodbye = 0; behind_goodbye < 2; behind_goodbye++) {
    auto request = wire::receive(fd, wire::kMaxRequest, MSG_DONTWAIT);
    if (!request && (request.error().code == EAGAIN || request.error().code == EMSGSIZE)) return;
    if (!request || request->bytes.empty() || !serve(found->second, std::move(*request))) break;
    if (behind_goodbye || !found->second.file->goodbye) return;
  }
  registry_.files().close(found->second.file);
  loop_.unwatch(fd);
  connections_.erase(found);
}

// False to close the connection: it does not speak our language.
bool Server::serve(Connection& connection, wire::Datagram&& request) {
  wire::RequestHead head;
  if (request.bytes.size() < sizeof head) return false;
  memcpy(&head, request.bytes.data(), sizeof head);
  if (head.magic != wire::kMagic) return false;
  std::span<const uint8_t> body(request.bytes.data() + sizeof head, request.bytes.size() - sizeof head);
  Answer answer;
  Result<void> result;
  Reply reply(request.fds.empty() ? UniqueFd() : std::move(request.fds[0]), head.op);
  if (head.version != wire::kVersion)
    result = Error{EPROTO, "unetmapd: speaks version " + std::to_string(wire::kVersion) + ", the library version " +
                               std::to_string(head.version) + "; install both from one release and restart the daemon"};
  else if (head.body_bytes != body.size())
    result = malformed();
  else if (asks_for_more(wire::Op(head.op)) && !memory_is_aside())
    result = no_memory();
  else
    result = carry_out(connection, wire::Op(head.op), body, request.fds, answer, reply);
  reply.send(result, std::move(answer));
  return true;
}

void Server::add_binding(const File& file, Answer& answer) {
  append(answer.body, bind_info(file));
  answer.fds = bind_fds(file);
  answer.has_bind = true;
}

// The answer comes now or, if a keeper has to do its part first, by retry_waiting().
void Server::control(Connection& connection, std::vector<uint8_t> body, Origin origin, Reply reply) {
  Answer answer;
  auto request = wire::parse(body);
  if (!request) return reply.send(request.error());
  Result<void> result = registry_.control(*connection.file, *request, origin);
  if (!result && result.error().code == EINPROGRESS) {
    waiting_.push_back(
        {connection.fd.get(), connection.file->id, std::move(body), std::move(origin), std::move(reply)});
    return;
  }
  answer.body = wire::flatten(*request);
  if (result && request->type == NETMAP_REQ_REGISTER) add_binding(*connection.file, answer);
  reply.send(result, std::move(answer));
}

// Again and again while frames come from several interfaces of one switch; otherwise the daemon sleeps.
void Server::refresh_shortcuts() {
  if (refreshing_ || !registry_.attachments().shortcuts().any()) return;
  refreshing_ = true;
  loop_.after(kRefresh_ms, [this] {
    refreshing_ = false;
    registry_.attachments().refresh_shortcuts();
    refresh_shortcuts();
  });
}

void Server::retry_waiting() {
  settled_ = false;
  registry_.attachments().advance();
  refresh_shortcuts();
  std::vector<Waiting> waiting = std::move(waiting_);
  waiting_.clear();
  for (Waiting& w : waiting) {
    auto found = connections_.find(w.connection);
    if (found == connections_.end() || found->second.file->id != w.file) continue;  // who asked has gone
    control(found->second, std::move(w.body), std::move(w.origin), std::move(w.reply));
  }
  registry_.release_unclaimed();
}

Result<void> Server::carry_out(Connection& connection, wire::Op op, std::span<const uint8_t> body,
                               std::vector<UniqueFd>& fds, Answer& answer, Reply& reply) {
  File& file = *connection.file;
  auto text = [&] { return std::string(body.begin(), body.end()); };
  switch (op) {
    case wire::Op::kControl: {
      Origin origin;
      if (fds.size() > 2) {
        origin.name_space = std::move(fds[1]);
        origin.probe = std::move(fds[2]);
      }
      if (fds.size() > 3) origin.channel = std::move(fds[3]);
      control(connection, {body.begin(), body.end()}, std::move(origin), std::move(reply));
      return {};
    }
    case wire::Op::kDescribe:
      if (Error why = NicPorts::failure(file); why.code) return why;
      if (file.port) add_binding(file, answer);
      return {};
    case wire::Op::kResolve: {
      wire::ResolveRequest request;
      if (!read_as(body, request)) return malformed();
      auto destination = registry_.files().resolve(file, request);
      if (!destination) return destination.error();
      append(answer.body, destination->info);
      answer.fds = {destination->exchange_fd};
      return {};
    }
    case wire::Op::kDoorbell: {
      uint32_t id;
      if (!read_as(body, id)) return malformed();
      auto fd = registry_.files().doorbell(file, id);
      if (!fd) return fd.error();
      answer.fds = {*fd};
      return {};
    }
    case wire::Op::kRing: {
      wire::ResolveRequest request;
      if (!read_as(body, request)) return malformed();
      registry_.files().ring(file, request);
      return {};
    }
    case wire::Op::kAudit:
      registry_.files().audit(file);
      return {};
    case wire::Op::kGoodbye:
      file.goodbye = true;
      return {};
    case wire::Op::kUnbind:
      registry_.files().audit(file);
      registry_.files().unbind(file);
      return {};
    case wire::Op::kQuery: {
      if (plugs_.answers(text(), reply) || awaits_port(connection, text(), reply)) return {};
      try {  // changes nothing, however long the answer
        auto found = registry_.query(text());
        if (!found) return found.error();
        return answer.add_text(*found);
      } catch (const std::bad_alloc&) {
        return no_memory();
      }
    }
    case wire::Op::kSet: {
      auto set = registry_.set(text());
      if (set) plugs_.note_settings(text());
      return set;
    }
    case wire::Op::kPlug:
      plugs_.plug(text(), std::move(reply));
      return {};
    case wire::Op::kUnplug:
      plugs_.unplug(text(), std::move(reply));
      return {};
  }
  return Error{EINVAL, "request: operation " + std::to_string(int(op)) + " is unknown; see docs/wire.md"};
}

}  // namespace unetmap::daemon
