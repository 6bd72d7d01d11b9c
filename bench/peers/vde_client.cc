// SPDX-License-Identifier: BSD-2-Clause
// Sends or receives frames through a vde_switch with libvdeplug, one frame a call.
//   bench-vde-client tx|rx SWITCH_DIRECTORY FRAME_LENGTH COUNTER_FILE
extern "C" {  // its header does not say so itself
#include <libvdeplug.h>
}

#include <cerrno>

#include "client.hh"

int main(int argc, char** argv) {
  if (argc != 5 || (std::strcmp(argv[1], "tx") != 0 && std::strcmp(argv[1], "rx") != 0)) {
    std::fprintf(stderr, "usage: bench-vde-client tx|rx SWITCH_DIRECTORY FRAME_LENGTH COUNTER_FILE\n");
    return 2;
  }
  const size_t length = peer::parse_frame_length(argv[3]);
  peer::Counters counters(argv[4]);
  peer::stop_on_signal();
  char description[] = "unetmap bench";
  VDECONN* plug = vde_open(argv[2], description, nullptr);
  if (plug == nullptr) peer::fail("connect to the switch", argv[2]);
  uint8_t frame[peer::kMaxFrame];
  if (argv[1][0] == 't') {
    peer::build_frame(frame, length);
    while (!peer::stop)
      if (vde_send(plug, frame, length, 0) == static_cast<ssize_t>(length)) counters.add(1, length);
  } else {
    peer::build_frame(frame, peer::kHelloFrame, true);
    if (vde_send(plug, frame, peer::kHelloFrame, 0) < 0) peer::fail("announce the receiver", argv[2]);
    while (!peer::stop)
      if (vde_recv(plug, frame, sizeof frame, 0) == static_cast<ssize_t>(length)) counters.add(1, length);
  }
  vde_close(plug);
}
