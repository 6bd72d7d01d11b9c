// SPDX-License-Identifier: BSD-2-Clause
// unetmap-worker: moves packets between one switch port and something that has no netmap program of its own. Started by
// unetmapd with a channel at descriptor 3 (wire/worker.hh), and of no use to people.
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "base/output.hh"
#include "worker/sandbox.hh"
#include "worker/sessions.hh"

namespace {

using namespace unetmap;
using namespace unetmap::worker;

Result<void> serve() {
  if (auto dropped = drop_privileges(); !dropped) return dropped;
  auto loop = Loop::create();
  if (!loop) return loop.error();
  Sessions sessions(*loop);
  if (auto added = sessions.add(UniqueFd(wire::kWorkerChannel)); !added) return added;
  if (auto ran = loop->run(sessions); !ran) {
    sessions.fail(ran.error());
    return ran;
  }
  if (sessions.failed()) return Error{EIO, ""};  // told already
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  unetmap::check_output_at_exit("unetmap-worker");
  if (argc == 2 && strcmp(argv[1], "--version") == 0) {
    puts("unetmap-worker " UNETMAP_VERSION);
    return 0;
  }
  if (argc == 2 && strcmp(argv[1], "--help") == 0) {
    puts("usage: unetmap-worker [--help | --version]\n"
         "Serves ports that have no program of their own. Started by unetmapd, not by hand:\n"
         "see unetmap(8), plug.");
    return 0;
  }
  int type = 0;
  socklen_t bytes = sizeof type;
  if (argc != 1 || getsockopt(wire::kWorkerChannel, SOL_SOCKET, SO_TYPE, &type, &bytes) < 0 || type != SOCK_SEQPACKET) {
    fprintf(stderr, "unetmap-worker: is started by unetmapd; see unetmap(8), plug\n");
    return 2;
  }
  fcntl(wire::kWorkerChannel, F_SETFD, FD_CLOEXEC);
  signal(SIGPIPE, SIG_IGN);
  auto done = serve();
  if (done) return 0;
  // Heard unless there was a session, which has told by itself.
  (void)wire::send_report(wire::kWorkerChannel, {.event = wire::WorkerReport::Event::kFailed, .error = done.error()})
      .has_value();
  return 1;
}
