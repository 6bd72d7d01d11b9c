// SPDX-License-Identifier: BSD-2-Clause
// Opens COUNT ports on a switch and keeps them until its standard input ends, for the rows that ask what ports cost
// which are merely there. With --poll each port also has a thread asleep in poll(), as an idle receiver has.
//   bench-open-ports [--poll] SWITCH COUNT        SWITCH as in `vale0`; the ports are SWITCH:idle0, SWITCH:idle1, ...
// Prints `ready COUNT` when all of them are open.
#include <libnetmap.h>
#include <net/netmap.h>
#include <net/netmap_user.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

namespace {
void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

void sleep_in_poll(int fd) {
  std::thread([fd] {
    pollfd waiting{fd, POLLIN, 0};
    while (poll(&waiting, 1, -1) < 0 && errno == EINTR) {
    }
    std::fprintf(stderr, "bench-open-ports: an idle port became readable or failed (revents %#x)\n",
                 static_cast<unsigned>(waiting.revents));
    std::_Exit(1);
  }).detach();
}
}  // namespace

int main(int argc, char** argv) {
  const bool polling = argc > 1 && std::strcmp(argv[1], "--poll") == 0;
  const int first = polling ? 2 : 1;
  const int count = argc == first + 2 ? std::atoi(argv[first + 1]) : 0;
  if (count <= 0) {
    std::fprintf(stderr, "usage: bench-open-ports [--poll] SWITCH COUNT\n");
    return 2;
  }
  raise_descriptor_limit();
  for (int i = 0; i < count; i++) {
    const std::string name = std::string(argv[first]) + ":idle" + std::to_string(i);
    // Left open: the ports go when the process does.
    nmport_d* port = nmport_open(name.c_str());
    if (port == nullptr) {
      std::fprintf(stderr, "bench-open-ports: open %s (port %d of %d): %s\n", name.c_str(), i + 1, count,
                   std::strerror(errno));
      return 1;
    }
    if (polling) sleep_in_poll(port->fd);
  }
  std::printf("ready %d\n", count);
  std::fflush(stdout);
  char ignored[64];
  while (read(STDIN_FILENO, ignored, sizeof ignored) > 0) {
  }
  std::_Exit(0);
}
