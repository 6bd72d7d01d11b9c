// SPDX-License-Identifier: BSD-2-Clause
#include "session.hh"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "base/json.hh"

namespace unetmap::tlem {
namespace {

constexpr size_t kLongestMessage = 8192;
constexpr int kPatience_s = 2;  // for a client that connects and says nothing

Result<sockaddr_un> address_of(const std::string& file) {
  const std::string path = file + ".socket";
  sockaddr_un out{};
  out.sun_family = AF_UNIX;
  if (path.size() >= sizeof out.sun_path) {
    return Error{ENAMETOOLONG, fmt::format("session {}: the name is too long for a socket beside it", file)};
  }
  path.copy(out.sun_path, path.size());
  return out;
}

Json to_json(const SessionRequest& r) {
  return {{"bandwidth", r.texts.bandwidth},   {"delay", r.texts.delay}, {"loss", r.texts.loss},
          {"reordering", r.texts.reordering}, {"queue", r.texts.queue}, {"end", r.end}};
}

Result<SessionRequest> parse(const std::string& text) {
  try {
    const Json json = parse_json(text);
    SessionRequest out;
    auto texts = [&json](const char* name) {
      auto list = json.at(name).get<std::vector<std::string>>();
      if (list.size() > 2) list.resize(2);
      return list;
    };
    out.texts = {texts("bandwidth"), texts("delay"), texts("loss"), texts("reordering"), texts("queue")};
    out.end = json.at("end").get<bool>();
    return out;
  } catch (const Json::exception&) {
    return Error{EPROTO, "question not understood; are both tlem of the same version?"};
  }
}

Result<std::string> receive(int fd) {
  char message[kLongestMessage];
  const ssize_t got = recv(fd, message, sizeof message, 0);
  if (got <= 0) return Error{EPIPE, "the session ended meanwhile"};
  return std::string(message, size_t(got));
}

}  // namespace

Result<std::optional<SessionServer>> SessionServer::open(const std::string& file) {
  auto address = address_of(file);
  if (!address) return address.error();
  UniqueFd lock(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock) return Error::from_errno(errno, "session " + file);
  if (flock(lock.get(), LOCK_EX | LOCK_NB) < 0) {
    if (errno == EWOULDBLOCK) return std::optional<SessionServer>();
    return Error::from_errno(errno, "session " + file);
  }
  // The lock is ours: a socket that is there is of a server that was killed.
  unlink(address->sun_path);
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const mode_t mask = umask(0077);
  const int bound = bind(socket.get(), reinterpret_cast<sockaddr*>(&*address), sizeof *address);
  const int code = errno;
  umask(mask);
  if (bound < 0 || listen(socket.get(), 16) < 0) return Error::from_errno(bound < 0 ? code : errno, address->sun_path);
  return std::optional<SessionServer>(SessionServer(std::move(lock), std::move(socket), address->sun_path));
}

SessionServer::~SessionServer() {
  if (socket_) unlink(path_.c_str());
}

void SessionServer::answer(const std::function<Result<void>(const SessionRequest&)>& handle) {
  UniqueFd client(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!client) return;
  const timeval patience{kPatience_s, 0};
  setsockopt(client.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  auto message = receive(client.get());
  if (!message) return;
  auto request = parse(*message);
  const Result<void> done = request ? handle(*request) : Result<void>(request.error());
  const std::string text = done ? "ok" : done.error().text;
  send(client.get(), text.data(), text.size(), MSG_NOSIGNAL);
  if (request && request->end) waiting_.push_back(std::move(client));
}

Result<void> ask_session(const std::string& file, const SessionRequest& request) {
  auto address = address_of(file);
  if (!address) return address.error();
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (connect(socket.get(), reinterpret_cast<sockaddr*>(&*address), sizeof *address) < 0) {
    return Error{errno, fmt::format("session {}: nobody emulates: {}; start its first tlem with two ports", file,
                                    strerror(errno))};
  }
  const std::string text = json_text(to_json(request));
  if (send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL) < 0)
    return Error::from_errno(errno, "session " + file);
  auto answer = receive(socket.get());
  if (!answer) return answer.error();
  if (*answer != "ok") return Error{EINVAL, fmt::format("session {}: {}", file, *answer)};
  if (request.end) (void)!receive(socket.get()).has_value();
  return {};
}

}  // namespace unetmap::tlem
