// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/process/listen.hh"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <ctime>

#include "daemon/process/event_loop.hh"

namespace unetmap::daemon {
namespace {

constexpr int kBacklog = 4096;
constexpr int kContentionWait_ms = 5000, kContentionStep_ms = 10;

std::string directory_of(const std::string& path) {
  size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

// Who can write the directory can put another daemon in our place.
Result<void> check_directory(const std::string& dir) {
  if (mkdir(dir.c_str(), 0700) < 0 && errno != EEXIST) {
    Error error = Error::from_errno(errno, dir + ": cannot make the directory for the socket");
    error.text += "; name another with --socket or UNETMAP_SOCKET";
    return error;
  }
  struct stat info;
  if (stat(dir.c_str(), &info) < 0) return Error::from_errno(errno, dir);
  if (!S_ISDIR(info.st_mode)) return Error{ENOTDIR, dir + ": is no directory; name another place with --socket or UNETMAP_SOCKET"};
  if (info.st_uid != geteuid() && info.st_uid != 0)
    return Error{EPERM, dir + ": belongs to user " + std::to_string(info.st_uid) + ", who could replace our socket there; name "
                                  "another place with --socket or UNETMAP_SOCKET"};
  if ((info.st_mode & 022) && !(info.st_mode & S_ISVTX))
    return Error{EPERM, dir + ": others can write there and replace our socket; chmod go-w it, or name another place with "
                              "--socket or UNETMAP_SOCKET"};
  return {};
}

Result<sockaddr_un> socket_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return Error{ENAMETOOLONG, path + ": longer than 107 characters; choose a shorter one with --socket or UNETMAP_SOCKET"};
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

bool somebody_answers(const sockaddr_un& address) {
  UniqueFd probe(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe) return false;
  if (connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return true;
  return errno == EAGAIN;  // its backlog is full
}

// The lock, or EADDRINUSE when its holder answers. One that holds it without answering is starting or ending: that
// takes a moment, and nothing tells when it is over.
Result<void> take_lock(int lock, const std::string& path, const sockaddr_un& address) {
  for (int64_t until = now_ms() + kContentionWait_ms;;) {
    if (flock(lock, LOCK_EX | LOCK_NB) == 0) return {};
    if (errno != EWOULDBLOCK && errno != EINTR) return Error::from_errno(errno, path + ".lock");
    if (somebody_answers(address)) return Error{EADDRINUSE, path + ": another unetmapd serves it already; use that one"};
    if (now_ms() > until)
      return Error{EBUSY, path + ".lock: held by a process that does not serve the socket; end it, or name another place with "
                                 "--socket or UNETMAP_SOCKET"};
    poll(nullptr, 0, kContentionStep_ms);
  }
}

}  // namespace

Result<Listener> Listener::open(const std::string& path) {
  auto address = socket_address(path);
  if (!address) return address.error();
  if (auto good = check_directory(directory_of(path)); !good) return good.error();
  Listener out;
  out.lock_ = UniqueFd(::open((path + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!out.lock_) {
    Error error = Error::from_errno(errno, path + ".lock");
    error.text += "; name another place with --socket or UNETMAP_SOCKET";
    return error;
  }
  if (auto locked = take_lock(out.lock_.get(), path, *address); !locked) return locked.error();
  struct stat info;
  if (lstat(path.c_str(), &info) == 0) {
    if (!S_ISSOCK(info.st_mode)) return Error{EEXIST, path + ": is there and is no socket; remove it, or name another place"};
    if (somebody_answers(*address)) return Error{EADDRINUSE, path + ": another process serves it; name another place"};
    unlink(path.c_str());
  }
  out.socket_ = UniqueFd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!out.socket_) return Error::from_errno(errno, path);
  if (::bind(out.socket_.get(), reinterpret_cast<sockaddr*>(&*address), sizeof *address) < 0 ||
      chmod(path.c_str(), 0600) < 0)
    return Error::from_errno(errno, path);
  out.path_ = path;
  return out;
}

Result<UniqueFd> Listener::listen() {
  if (!path_.empty() && ::listen(socket_.get(), kBacklog) < 0) return Error::from_errno(errno, path_);
  return std::move(socket_);
}

Result<Listener> Listener::from_systemd() {
  Listener out;
  int n = sd_listen_fds(1);
  if (n < 0) return Error::from_errno(-n, "socket from systemd");
  if (n == 0) return out;
  if (n > 1 || sd_is_socket_unix(SD_LISTEN_FDS_START, SOCK_SEQPACKET, 1, nullptr, 0) <= 0)
    return Error{EINVAL, "socket from systemd: not one listening Unix socket for packets; use ListenSequentialPacket= once"};
  out.socket_ = UniqueFd(SD_LISTEN_FDS_START);
  return out;
}

void Listener::hide() {
  if (path_.empty() || hidden_) return;
  hidden_ = rename(path_.c_str(), (path_ + ".closing").c_str()) == 0;
}
void Listener::show() {
  if (hidden_) (void)rename((path_ + ".closing").c_str(), path_.c_str());
  hidden_ = false;
}
void Listener::remove() {
  if (!path_.empty()) unlink((hidden_ ? path_ + ".closing" : path_).c_str());
  path_.clear();
}

}  // namespace unetmap::daemon
