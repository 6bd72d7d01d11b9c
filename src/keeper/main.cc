// SPDX-License-Identifier: BSD-2-Clause
// unetmap-keeper: holds what was changed on a network interface, and undoes it when its client is gone.
#include <fcntl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "base/command_line.hh"
#include "base/output.hh"
#include "keeper/privileges.hh"
#include "keeper/serve.hh"
#include "wire/keeper.hh"

namespace {

bool has_channel() {
  int type = 0, domain = 0;
  socklen_t bytes = sizeof type;
  return getsockopt(unetmap::wire::kKeeperChannelFd, SOL_SOCKET, SO_TYPE, &type, &bytes) == 0 &&
         type == SOCK_SEQPACKET &&
         getsockopt(unetmap::wire::kKeeperChannelFd, SOL_SOCKET, SO_DOMAIN, &domain, &bytes) == 0 && domain == AF_UNIX;
}

unetmap::UniqueFd stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (int each : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, each);
  sigprocmask(SIG_SETMASK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return unetmap::UniqueFd(signalfd(-1, &set, SFD_CLOEXEC));
}

}  // namespace

int main(int argc, char** argv) {
  unetmap::check_output_at_exit("unetmap-keeper");
  unetmap::CommandLine app{"unetmap-keeper",
                           "Holds a network interface for unetmapd. Started by it and by libunetmap, not by hand."};
  app.set_version_flag("-V,--version", UNETMAP_VERSION);
  if (auto end = app.parse(argc, argv)) return end->status;
  if (!has_channel()) {
    fprintf(stderr,
            "unetmap-keeper: started by unetmapd and by libunetmap when a network interface is opened, not by hand; "
            "see unetmapd(8)\n");
    return 2;
  }
  // Who started it may go: nothing here depends on it but the channel.
  (void)!chdir("/");
  syscall(SYS_close_range, unetmap::wire::kKeeperChannelFd + 1, ~0u, 0);
  fcntl(unetmap::wire::kKeeperChannelFd, F_SETFD, FD_CLOEXEC);
  unetmap::keeper::keep_needed_rights(true);  // less once it is known what for
  return unetmap::keeper::serve(unetmap::UniqueFd(unetmap::wire::kKeeperChannelFd), stop_signals());
}
