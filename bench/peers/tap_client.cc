// SPDX-License-Identifier: BSD-2-Clause
// Sends or receives frames through a tap device with plain write() and read(), one frame a call.
//   bench-tap-client tx|rx TAP FRAME_LENGTH COUNTER_FILE
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include <cerrno>

#include "client.hh"

namespace {
int open_tap(const char* name) {
  const int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  if (fd < 0) peer::fail("open", "/dev/net/tun");
  ifreq request{};
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  if (ioctl(fd, TUNSETIFF, &request) != 0) peer::fail("attach to the tap", name);
  return fd;
}
}  // namespace

int main(int argc, char** argv) {
  if (argc != 5 || (std::strcmp(argv[1], "tx") != 0 && std::strcmp(argv[1], "rx") != 0)) {
    std::fprintf(stderr, "usage: bench-tap-client tx|rx TAP FRAME_LENGTH COUNTER_FILE\n");
    return 2;
  }
  const size_t length = peer::parse_frame_length(argv[3]);
  peer::Counters counters(argv[4]);
  peer::stop_on_signal();
  const int fd = open_tap(argv[2]);
  uint8_t frame[peer::kMaxFrame];
  if (argv[1][0] == 't') {
    peer::build_frame(frame, length);
    while (!peer::stop)
      if (write(fd, frame, length) == static_cast<ssize_t>(length)) counters.add(1, length);
    return 0;
  }
  peer::build_frame(frame, peer::kHelloFrame, true);
  if (write(fd, frame, peer::kHelloFrame) < 0) peer::fail("announce the receiver", argv[2]);
  while (!peer::stop)
    if (read(fd, frame, sizeof frame) == static_cast<ssize_t>(length)) counters.add(1, length);
}
