// SPDX-License-Identifier: BSD-2-Clause
#include "listen_address.hh"

#include <fmt/core.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <climits>
#include <cstring>
#include <memory>

namespace unetmap::cli::live {
namespace {

constexpr int kBacklog = 64;

// "1.2.3.4" or "[::1]".
std::string host_text(const sockaddr* address, socklen_t bytes) {
  char text[NI_MAXHOST];
  if (getnameinfo(address, bytes, text, sizeof text, nullptr, 0, NI_NUMERICHOST) != 0) return "";
  return address->sa_family == AF_INET6 ? fmt::format("[{}]", text) : text;
}

bool is_loopback(const sockaddr* address) {
  if (address->sa_family == AF_INET)
    return (ntohl(reinterpret_cast<const sockaddr_in*>(address)->sin_addr.s_addr) >> 24) == 127;
  return IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr);
}

bool is_any(const sockaddr* address) {
  if (address->sa_family == AF_INET)
    return reinterpret_cast<const sockaddr_in*>(address)->sin_addr.s_addr == INADDR_ANY;
  return IN6_IS_ADDR_UNSPECIFIED(&reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr);
}

// All names of this machine that need no question to anybody.
std::vector<std::string> own_hosts(uint16_t port) {
  std::vector<std::string> out{fmt::format("localhost:{}", port)};
  char name[HOST_NAME_MAX + 1];
  if (gethostname(name, sizeof name) == 0) out.push_back(fmt::format("{}:{}", name, port));
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return out;
  for (ifaddrs* at = all; at; at = at->ifa_next) {
    if (!at->ifa_addr) continue;
    const int family = at->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) continue;
    std::string host = host_text(at->ifa_addr, family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
    if (!host.empty()) out.push_back(fmt::format("{}:{}", host, port));
  }
  freeifaddrs(all);
  return out;
}

Result<Listening> listen_unix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return Error{ENAMETOOLONG, fmt::format("{}: longer than {} characters; choose a shorter path", path,
                                           sizeof address.sun_path - 1)};
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  Listening out;
  out.fd = UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!out.fd) return Error::from_errno(errno, "socket");
  const mode_t before = umask(077);  // nobody else's browser, or program
  int bound = bind(out.fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  int code = errno;
  umask(before);
  if (bound < 0) {
    return Error{code, code == EADDRINUSE ? path + ": is there already; if no server uses it any more, remove it"
                                          : path + ": " + strerror(code)};
  }
  if (listen(out.fd.get(), kBacklog) < 0) return Error::from_errno(errno, path);
  out.url = path;
  out.loopback = true;
  out.remove = path;
  return out;
}

}  // namespace

Result<Listening> listen_at(const std::string& address) {
  if (address.find('/') != std::string::npos) return listen_unix(address);
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0)
    return Error{
        EINVAL,
        address +
            ": neither ADDRESS:PORT nor the path of a socket; such as 127.0.0.1:8080, [::1]:8080, /tmp/unetmap.http"};
  std::string host = address.substr(0, colon), service = address.substr(colon + 1);
  const bool number = !service.empty() && service.size() <= 5 && service.find_first_not_of("0123456789") == std::string::npos;
  if (!number || std::stoul(service) > 65535) return Error{EINVAL, address + ": the port is no number up to 65535; such as 127.0.0.1:8080"};
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (int code = getaddrinfo(host.c_str(), service.c_str(), &hints, &found); code != 0)
    return Error{EINVAL, fmt::format("{}: {}; such as 127.0.0.1:8080", address, gai_strerror(code))};
  std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, freeaddrinfo);
  Listening out;
  out.fd = UniqueFd(socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!out.fd) return Error::from_errno(errno, address);
  const int on = 1;
  setsockopt(out.fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(out.fd.get(), found->ai_addr, found->ai_addrlen) < 0 || listen(out.fd.get(), kBacklog) < 0) {
    int code = errno;
    return Error{code, code == EADDRINUSE ? address + ": in use; choose another port with --listen"
                                          : address + ": " + strerror(code)};
  }
  sockaddr_storage bound{};
  socklen_t bytes = sizeof bound;
  getsockname(out.fd.get(), reinterpret_cast<sockaddr*>(&bound), &bytes);
  const uint16_t port = ntohs(bound.ss_family == AF_INET ? reinterpret_cast<sockaddr_in&>(bound).sin_port
                                                         : reinterpret_cast<sockaddr_in6&>(bound).sin6_port);
  const std::string numeric = host_text(reinterpret_cast<sockaddr*>(&bound), bytes);
  out.loopback = is_loopback(reinterpret_cast<sockaddr*>(&bound));
  if (is_any(reinterpret_cast<sockaddr*>(&bound))) {
    out.hosts = own_hosts(port);
    out.url = "http://" + out.hosts[out.hosts.size() > 1 ? 1 : 0] + "/";
  } else {
    out.hosts = {fmt::format("{}:{}", numeric, port)};
    if (out.loopback) out.hosts.push_back(fmt::format("localhost:{}", port));
    out.url = fmt::format("http://{}:{}/", numeric, port);
  }
  return out;
}

}  // namespace unetmap::cli::live
