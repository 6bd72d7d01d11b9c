// SPDX-License-Identifier: BSD-2-Clause
// relay PORT PORT COUNT: sends what the first port receives through the second one, so many frames.
#include <cstdio>
#include <cstdlib>
#include <unetmap/port.hh>
#include <vector>

namespace {

// Waits for room where there is none: nothing is lost here.
void send(unetmap::Port& to, const std::vector<std::byte>& frame) {
  while (!to.send(frame)) to.wait_tx(1000);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: relay PORT PORT COUNT\n");
    return 2;
  }
  try {
    unetmap::Port from = unetmap::Port::open(argv[1]);
    unetmap::Port to = unetmap::Port::open(argv[2]);
    const unsigned long count = std::strtoul(argv[3], nullptr, 10);
    std::printf("from %s to %s\n", argv[1], argv[2]);
    std::fflush(stdout);
    std::vector<std::byte> frame;
    unsigned long done = 0;
    while (done < count && from.wait_rx(10000)) {
      done += from.for_each_received(
          [&](const unetmap::Packet& packet) {
            frame.resize(packet.size());
            packet.copy_to(frame);
            send(to, frame);
          },
          count - done);
      to.sync_tx();
    }
    // A port that is closed keeps nothing.
    if (!to.flush(5000)) std::fprintf(stderr, "relay: %s: some frames have not left\n", argv[2]);
    std::printf("relayed %lu frames\n", done);
    return done < count;
  } catch (const std::system_error& error) {
    std::fprintf(stderr, "relay: %s\n", error.what());
    return 1;
  }
}
