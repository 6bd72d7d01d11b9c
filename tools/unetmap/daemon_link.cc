// SPDX-License-Identifier: BSD-2-Clause
#include "daemon_link.hh"

#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "access_lists.hh"
#include "asked_port.hh"
#include "wire/channel.hh"
#include "wire/framing.hh"

namespace unetmap::cli {
namespace {

Error not_understood() {
  return {EPROTO, "unetmapd: answer not understood; is the daemon of the same version as this program? End it and try again"};
}

// The text in a memfd: all of it, without the zeroes that fill its last page.
Result<std::string> read_all(int fd) {
  std::string text;
  char part[16384];
  for (;;) {
    ssize_t n = pread(fd, part, sizeof part, off_t(text.size()));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Error::from_errno(errno, "unetmapd: read its answer");
    if (n == 0) break;
    text.append(part, size_t(n));
  }
  text.erase(text.find_last_not_of('\0') + 1);
  return text;
}

}  // namespace

Result<std::optional<DaemonLink>> DaemonLink::connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return Error{ENAMETOOLONG, fmt::format("UNETMAP_SOCKET {}: longer than {} characters; choose a shorter path", path,
                                           sizeof address.sun_path - 1)};
  }
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket) return Error::from_errno(errno, "socket");
  int result;
  do {
    result = ::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  } while (result < 0 && errno == EINTR);
  if (result == 0) return std::optional<DaemonLink>(DaemonLink(std::move(socket)));
  if (errno == ENOENT || errno == ECONNREFUSED) return std::optional<DaemonLink>();
  int code = errno;
  const char* remedy = code == EACCES ? "; it is another user's: run as that user, or name one of your own in UNETMAP_SOCKET"
                                      : "; name another socket in UNETMAP_SOCKET";
  return Error{code, fmt::format("unetmapd at {}: {}{}", path, strerror(code), remedy)};
}

Result<std::string> DaemonLink::ask(wire::Op op, const std::string& body, int timeout_ms) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) return Error::from_errno(errno, "socketpair");
  UniqueFd ours(pair[0]), theirs(pair[1]);
  std::vector<uint8_t> request =
      wire::request_bytes(op, {reinterpret_cast<const uint8_t*>(body.data()), body.size()});
  int reply_to[] = {theirs.get()};
  if (auto sent = wire::send(socket_.get(), request, reply_to); !sent) {
    return Error{sent.error().code, "unetmapd: " + sent.error().text + "; it may have ended: try again"};
  }
  theirs.reset();

  pollfd entry{ours.get(), POLLIN, 0};
  if (timeout_ms >= 0 && ::poll(&entry, 1, timeout_ms) == 0) return Error{ETIMEDOUT, "unetmapd: no answer in time"};
  auto answer = wire::receive(ours.get(), wire::kMaxReply);
  if (!answer) return Error{answer.error().code, "unetmapd: " + answer.error().text};
  if (answer->bytes.empty()) return Error{ENXIO, "unetmapd: it ended before it answered; try again"};
  auto reply = wire::take_apart(answer->bytes);
  if (!reply) return reply.error();
  if (reply->error != 0) return Error{reply->error, reply->text.empty() ? strerror(reply->error) : reply->text};
  if (answer->fds.empty()) return std::string();
  return read_all(answer->fds[0].get());
}

Result<Json> DaemonLink::query(const Json& question, int timeout_ms) {
  Json asked = asked_from_here(question);
  if (auto set = asked.find("set"); set != asked.end())
    if (auto done = compile_lists(*set); !done) return done.error();
  auto text = ask(wire::Op::kQuery, json_text(asked), timeout_ms);
  if (!text) return text.error();
  Json answer = parse_json(*text);
  if (!answer.is_object()) return not_understood();
  return answer;
}

Result<std::string> DaemonLink::live() { return ask(wire::Op::kQuery, R"({"what":"live"})"); }

Result<void> DaemonLink::tell(wire::Op op, const Json& wanted) {
  auto text = ask(op, json_text(wanted));
  if (!text) return text.error();
  return {};
}

Result<void> DaemonLink::set(const Json& wanted) {
  Json asked = asked_from_here(wanted);
  if (auto done = compile_lists(asked); !done) return Error{EINVAL, wanted.value("port", "") + ": " + done.error().text};
  return tell(wire::Op::kSet, asked);
}

Result<void> DaemonLink::plug(const Json& wanted) {
  Json asked = wanted;
  if (auto set = asked.find("set"); set != asked.end())
    if (auto done = compile_lists(*set); !done) return done;
  return tell(wire::Op::kPlug, asked);
}

Result<void> DaemonLink::unplug(const Json& wanted) { return tell(wire::Op::kUnplug, wanted); }

}  // namespace unetmap::cli
