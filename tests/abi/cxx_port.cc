// SPDX-License-Identifier: BSD-2-Clause
// Two C++ ports on a switch, by unetmap/port.hh: packets of one and of several slots, waiting, moving, closing.
#include <cstdio>
#include <unetmap/port.hh>
#include <vector>

#include "check.h"

namespace {

std::vector<std::byte> frame(std::size_t bytes, unsigned number) {
  std::vector<std::byte> data(bytes);
  frame_make(data.data(), data.size(), 1, number);
  return data;
}

void exchange(const char* from, const char* to) {
  unetmap::Port out = unetmap::Port::open(from);
  unetmap::Port opened = unetmap::Port::open(to);
  unetmap::Port in = std::move(opened);
  CHECK(in.name() == to, "the name of %s", to);
  CHECK(in.rx_rings() > 0 && in.rx_ring(0).empty(), "rings of %s", to);
  CHECK(!in.wait_rx(0), "packets before any was sent");

  const std::size_t sizes[] = {60, 1514, 9000};
  unsigned number = 0;
  for (const std::size_t bytes : sizes) {
    const std::vector<std::byte> sent = frame(bytes, ++number);
    CHECK(out.send(sent), "no room for %zu bytes", bytes);
    out.sync_tx();
    CHECK(in.wait_rx(WAIT_MS), "%zu bytes did not arrive", bytes);
    std::vector<std::byte> got;
    const std::size_t count = in.for_each_received([&](const unetmap::Packet& packet) {
      got.resize(packet.size());
      CHECK(packet.copy_to(got) == packet.size(), "a packet that is not as long as it says");
    });
    CHECK(count == 1 && got == sent, "%zu packets of %zu bytes", count, got.size());
  }
}

}  // namespace

int main(int argc, char** argv) {
  need_arguments(argc, 2, "cxx_port SENDER RECEIVER");
  try {
    exchange(argv[1], argv[2]);
  } catch (const std::system_error& error) {
    std::fprintf(stderr, "FAILED: %s\n", error.what());
    return 1;
  }
  std::puts("ok: 3 packets");
  return 0;
}
