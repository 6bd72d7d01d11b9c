// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/server.hh"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "daemon/log.hh"

namespace unetmap::daemon {
namespace {

constexpr int kEventsAtOnce = 64;

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

Error malformed() { return {EINVAL, "request: malformed; library and daemon must be of the same version"}; }

}  // namespace

Result<std::unique_ptr<Server>> Server::create(UniqueFd listener) {
  std::unique_ptr<Server> server(new Server);
  server->epoll_ = UniqueFd(epoll_create1(EPOLL_CLOEXEC));
  if (!server->epoll_) return Error::from_errno(errno, "epoll");
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
  for (auto& [fd, connection] : connections_) registry_.close_file(connection.file);
}

Result<void> Server::watch(int fd, std::function<void()> ready) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) < 0) return Error::from_errno(errno, "epoll");
  watched_[fd] = std::move(ready);
  return {};
}

Result<void> Server::adopt(UniqueFd connection, pid_t pid) {
  int fd = connection.get();
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) < 0) return Error::from_errno(errno, "epoll");
  connections_[fd] = Connection{std::move(connection), registry_.open_file(pid)};
  return {};
}

void Server::accept_one() {
  UniqueFd connection(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!connection) {
    if ((errno == EMFILE || errno == ENFILE) && spare_) {
      // Turned away, for otherwise it would keep us awake for ever.
      spare_.reset();
      connection.reset(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      connection.reset();
      spare_.reset(open("/dev/null", O_RDONLY | O_CLOEXEC));
      log("a client was turned away: no more open files; raise the limit (LimitNOFILE=, ulimit -n)");
    }
    return;
  }
  ucred peer{};
  socklen_t bytes = sizeof peer;
  if (getsockopt(connection.get(), SOL_SOCKET, SO_PEERCRED, &peer, &bytes) < 0) return;
  if (peer.uid != geteuid() && peer.uid != 0) {
    log("process " + std::to_string(peer.pid) + " of user " + std::to_string(peer.uid) +
        " was turned away: this daemon serves user " + std::to_string(geteuid()) + " and root; let it use its own");
    return;
  }
  if (auto adopted = adopt(std::move(connection), peer.pid); !adopted) log(adopted.error().text);
}

Result<bool> Server::step(int timeout_ms) {
  epoll_event events[kEventsAtOnce];
  int n = epoll_wait(epoll_.get(), events, kEventsAtOnce, timeout_ms);
  if (n < 0 && errno != EINTR) return Error::from_errno(errno, "epoll_wait");
  for (int i = 0; i < n; i++) {
    int fd = events[i].data.fd;
    if (auto watched = watched_.find(fd); watched != watched_.end()) watched->second();
    else handle(fd);
  }
  registry_.settle();
  return n != 0;
}

void Server::handle(int fd) {
  auto found = connections_.find(fd);
  if (found == connections_.end()) return;  // closed earlier in this batch
  auto request = wire::receive(fd, wire::kMaxRequest, MSG_DONTWAIT);
  if (!request && (request.error().code == EAGAIN || request.error().code == EMSGSIZE)) return;
  if (request && !request->bytes.empty() && serve(found->second, std::move(*request))) return;
  registry_.close_file(found->second.file);
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
  if (head.version != wire::kVersion)
    result = Error{EPROTO, "unetmapd: speaks version " + std::to_string(wire::kVersion) + ", the library version " +
                               std::to_string(head.version) + "; install both from one release and restart the daemon"};
  else if (head.body_bytes != body.size()) result = malformed();
  else result = carry_out(*connection.file, wire::Op(head.op), body, answer);
  if (!request.fds.empty()) send_answer(request.fds[0].get(), head.op, result, answer);
  return true;
}

void Server::add_binding(const File& file, Answer& answer) {
  append(answer.body, registry_.bind_info(file));
  answer.fds = registry_.bind_fds(file);
  answer.has_bind = true;
}

Result<void> Server::control(File& file, std::span<const uint8_t> body, Answer& answer) {
  auto request = wire::parse(body);
  if (!request) return request.error();
  Result<void> result = registry_.control(file, *request);
  answer.body = wire::flatten(*request);
  if (result && request->type == NETMAP_REQ_REGISTER) add_binding(file, answer);
  return result;
}

Result<void> Server::add_text(const std::string& text, Answer& answer) {
  UniqueFd fd(memfd_create("unetmap-answer", MFD_CLOEXEC));
  if (!fd) return Error::from_errno(errno, "answer");
  for (size_t at = 0; at < text.size();) {
    ssize_t n = write(fd.get(), text.data() + at, text.size() - at);
    if (n < 0) return Error::from_errno(errno, "answer");
    at += size_t(n);
  }
  lseek(fd.get(), 0, SEEK_SET);
  answer.fds = {fd.get()};
  answer.owned = std::move(fd);
  return {};
}

Result<void> Server::carry_out(File& file, wire::Op op, std::span<const uint8_t> body, Answer& answer) {
  switch (op) {
    case wire::Op::kControl: return control(file, body, answer);
    case wire::Op::kDescribe:
      if (file.port) add_binding(file, answer);
      return {};
    case wire::Op::kResolve: {
      wire::ResolveRequest request;
      if (!read_as(body, request)) return malformed();
      auto destination = registry_.resolve(file, request);
      if (!destination) return destination.error();
      append(answer.body, destination->info);
      answer.fds = {destination->exchange_fd};
      return {};
    }
    case wire::Op::kDoorbell: {
      uint32_t id;
      if (!read_as(body, id)) return malformed();
      auto fd = registry_.doorbell(file, id);
      if (!fd) return fd.error();
      answer.fds = {*fd};
      return {};
    }
    case wire::Op::kRing: {
      wire::ResolveRequest request;
      if (!read_as(body, request)) return malformed();
      registry_.ring(file, request);
      return {};
    }
    case wire::Op::kAudit: registry_.audit(file); return {};
    case wire::Op::kGoodbye: file.goodbye = true; return {};
    case wire::Op::kQuery: {
      auto text = registry_.query(std::string(body.begin(), body.end()));
      if (!text) return text.error();
      return add_text(*text, answer);
    }
    case wire::Op::kSet: return registry_.set(std::string(body.begin(), body.end()));
  }
  return Error{EINVAL, "request: operation " + std::to_string(int(op)) + " is unknown; see docs/wire.md"};
}

void Server::send_answer(int to, uint16_t op, const Result<void>& result, Answer& answer) {
  std::string text = result ? "" : result.error().text;
  if (!result && answer.has_bind) answer = Answer{};
  size_t room = wire::kMaxReply - sizeof(wire::ReplyHead) - answer.body.size();
  if (text.size() > room) text.resize(room);
  wire::ReplyHead head{wire::kMagic, wire::kVersion, op, result ? 0 : result.error().code, uint32_t(answer.body.size()),
                       uint32_t(text.size()), answer.has_bind};
  std::vector<uint8_t> bytes;
  append(bytes, head);
  bytes.insert(bytes.end(), answer.body.begin(), answer.body.end());
  bytes.insert(bytes.end(), text.begin(), text.end());
  // If it cannot be sent, the asker is gone, or not listening: his affair.
  (void)wire::send(to, bytes, answer.fds, MSG_DONTWAIT).has_value();
}

}  // namespace unetmap::daemon
