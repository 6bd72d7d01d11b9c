// SPDX-License-Identifier: BSD-2-Clause
#include "worker/unix_socket.hh"

#include <sys/epoll.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

namespace unetmap::worker {
namespace {

constexpr int64_t kFirstPause_ms = 20, kLongestPause_ms = 1000;
constexpr int64_t kLasts_ms = 500;  // what a connection has to last to be taken for one
constexpr int kBacklog = 16;

bool has_connections(int type) { return type == SOCK_STREAM || type == SOCK_SEQPACKET; }

}  // namespace

Result<sockaddr_un> unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path[0] != '/' || path.find('\0') != std::string::npos)
    return Error{EINVAL, path + ": is no absolute path of a socket; give one that begins with /"};
  if (path.size() >= sizeof address.sun_path)
    return Error{ENAMETOOLONG, path + ": longer than 107 characters; choose a shorter one"};
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

Result<UniqueFd> bind_unix(const std::string& path, int type, bool resume) {
  auto address = unix_address(path);
  if (!address) return address.error();
  auto* name = reinterpret_cast<const sockaddr*>(&*address);
  struct stat info;
  if (lstat(path.c_str(), &info) == 0) {
    if (!S_ISSOCK(info.st_mode))
      return Error{EEXIST, path + ": is there and is no socket; remove it, or choose another name"};
    UniqueFd probe(socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!resume && connect(probe.get(), name, sizeof *address) < 0 && errno != ECONNREFUSED && errno != ENOENT)
      return Error{EADDRINUSE, path + ": another process serves it; end it, or choose another name"};
    if (!resume && probe) {
      sockaddr_un peer;
      socklen_t bytes = sizeof peer;
      if (getpeername(probe.get(), reinterpret_cast<sockaddr*>(&peer), &bytes) == 0)
        return Error{EADDRINUSE, path + ": another process serves it; end it, or choose another name"};
    }
    unlink(path.c_str());
  }
  UniqueFd fd(socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return Error::from_errno(errno, path);
  if (bind(fd.get(), name, sizeof *address) < 0 || (has_connections(type) && listen(fd.get(), kBacklog) < 0))
    return Error::from_errno(errno, path + ": cannot be offered (its folder must be there, and writable)");
  return fd;
}

Result<UniqueFd> connect_unix(const std::string& path, int type) {
  auto address = unix_address(path);
  if (!address) return address.error();
  UniqueFd fd(socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return Error::from_errno(errno, path);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) < 0)
    return Error::from_errno(errno, path);
  return fd;
}

Link::~Link() {
  if (timer_) loop_.cancel(timer_);
  if (lasts_) loop_.cancel(lasts_);
  if (listener_) loop_.unwatch(listener_.get());
}

Result<void> Link::start(bool resume) {
  if (!server_) {
    if (auto address = unix_address(path_); !address) return address.error();
    reach();
    return {};
  }
  auto listener = bind_unix(path_, SOCK_STREAM, resume);
  if (!listener) return listener.error();
  listener_ = std::move(*listener);
  say("listening on " + path_);
  return loop_.watch(listener_.get(), EPOLLIN, [this](uint32_t) { take(); });
}

void Link::say(const std::string& text) {
  if (text == said_) return;
  said_ = text;
  handlers_.waiting(text);
}

void Link::take() {
  UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd) return;
  loop_.change(listener_.get(), 0);  // others wait until this one is over
  hand_out(std::move(fd));
}

void Link::hand_out(UniqueFd fd) {
  proved_ = spoken_of_ = false;
  lasts_ = loop_.after(kLasts_ms, [this] {
    lasts_ = 0;
    prove();
  });
  spoken_of_ = !cut_off_;
  if (spoken_of_) said_.clear();
  handlers_.connected(std::move(fd));
  if (spoken_of_ && handlers_.settled) handlers_.settled();
}

void Link::prove() {
  proved_ = true;
  cut_off_ = false;
  pause_ms_ = 0;
  if (spoken_of_) return;
  spoken_of_ = true;
  said_.clear();
  if (handlers_.settled) handlers_.settled();
}

void Link::reach() {
  auto fd = connect_unix(path_, SOCK_STREAM);
  if (fd) return hand_out(std::move(*fd));
  say("trying to connect to " + fd.error().text);
  pause();
}

void Link::pause() {
  pause_ms_ = std::clamp(pause_ms_ * 2, kFirstPause_ms, kLongestPause_ms);
  timer_ = loop_.after(pause_ms_, [this] {
    timer_ = 0;
    reach();
  });
}

void Link::closed() {
  if (lasts_) loop_.cancel(lasts_);
  lasts_ = 0;
  if (server_) {
    cut_off_ = !proved_;
    loop_.change(listener_.get(), EPOLLIN);
    say("listening on " + path_);
  } else if (proved_) {
    reach();
  } else {
    cut_off_ = true;
    say("trying again to connect to " + path_ + ", where connections are accepted and closed at once");
    pause();
  }
}

void Link::remove() {
  if (server_) unlink(path_.c_str());
}

}  // namespace unetmap::worker
