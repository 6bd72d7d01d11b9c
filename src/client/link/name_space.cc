// SPDX-License-Identifier: BSD-2-Clause
// Names of network interfaces mean those of the caller's network namespace, which need not be the daemon's. Each
// request shows ours; and since the daemon cannot enter another one, it asks for a keeper that we start here, with the
// privileges that we have.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "client/link/rpc.hh"
#include "wire/start_keeper.hh"

namespace unetmap::client {
namespace {

std::string own_folder() {
  Dl_info info;
  if (!dladdr(reinterpret_cast<const void*>(&connect_daemon), &info) || !info.dli_fname) return ".";
  std::string path = info.dli_fname;
  size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

}  // namespace

Result<Reply> ask_from_here(int connection, std::span<const uint8_t> body, std::vector<uint8_t>* refused) {
  UniqueFd here(int(syscall(SYS_openat, AT_FDCWD, "/proc/self/ns/net", O_RDONLY | O_CLOEXEC, 0)));
  UniqueFd probe(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  std::vector<int> fds;
  // Without /proc or descriptors to spare it has to be the daemon's own.
  if (here && probe) fds = {here.get(), probe.get()};
  auto reply = ask(connection, wire::Op::kControl, body, fds, refused);
  if (reply || reply.error().code != EREMOTE || fds.empty()) return reply;
  auto keeper = wire::start_keeper(own_folder());
  if (!keeper) return keeper.error();
  fds.push_back(keeper->get());
  return ask(connection, wire::Op::kControl, body, fds, refused);
}

}  // namespace unetmap::client
