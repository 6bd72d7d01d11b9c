// SPDX-License-Identifier: BSD-2-Clause
// The end of a C++ port: flush() waits for what is in its rings, a closed port's leftovers are counted.
#include <cstdio>
#include <thread>
#include <unetmap/port.hh>
#include <vector>

#include "check.h"

namespace {

const std::vector<std::byte> kFrame(60, std::byte{0x5a});

// As many as there is room for.
std::size_t fill(unetmap::Port& port) {
  std::size_t count = 0;
  for (bool more = true; more; port.sync_tx()) {
    more = false;
    while (port.send(kFrame)) {
      ++count;
      more = true;
    }
  }
  return count;
}

// Reads until so many came.
std::size_t read(unetmap::Port& port, std::size_t count) {
  std::size_t done = 0;
  while (done < count && port.wait_rx(WAIT_MS))
    done += port.for_each_received([](const unetmap::Packet&) {}, count - done);
  port.sync_rx();
  return done;
}

void waits_for_a_reader(const std::string& base) {
  unetmap::Port out = unetmap::Port::open(base + "{1");
  unetmap::Port in = unetmap::Port::open(base + "}1");
  const std::size_t sent = fill(out);
  CHECK(sent > 100, "only %zu frames fit a pipe", sent);
  CHECK(!out.flush(50), "flushed %zu frames that nobody has read", sent);
  std::size_t got = 0;
  std::thread reader([&] { got = read(in, sent); });
  const bool left = out.flush(WAIT_MS);
  reader.join();
  CHECK(left && got == sent, "%zu of %zu frames came, flushed: %d", got, sent, left);
  CHECK(out.flush(0), "an empty ring is not flushed");
  CHECK(unetmap::Port::abandoned() == 0, "%llu frames abandoned",
        static_cast<unsigned long long>(unetmap::Port::abandoned()));
}

// What was put into the ring, and what it had been told of, count alike; what a pipe's other end has does not.
void counts_what_is_left(const std::string& base) {
  const std::uint64_t before = unetmap::Port::abandoned();
  {
    unetmap::Port out = unetmap::Port::open(base + "{2");
    for (int i = 0; i < 7; ++i) CHECK(out.send(kFrame), "no room for frame %d", i);
  }
  CHECK(unetmap::Port::abandoned() == before + 7, "%llu abandoned of 7",
        static_cast<unsigned long long>(unetmap::Port::abandoned() - before));
  {
    unetmap::Port out = unetmap::Port::open(base + "{3");
    unetmap::Port in = unetmap::Port::open(base + "}3");
    for (int i = 0; i < 7; ++i) CHECK(out.send(kFrame), "no room for frame %d", i);
    out.sync_tx();
    CHECK(read(in, 7) == 7, "7 frames do not come");
    out.sync_tx();
  }
  CHECK(unetmap::Port::abandoned() == before + 7, "frames that were read count as abandoned");
}

}  // namespace

int main(int argc, char** argv) {
  need_arguments(argc, 1, "cxx_flush PORT");
  try {
    waits_for_a_reader(argv[1]);
    counts_what_is_left(argv[1]);
  } catch (const std::system_error& error) {
    std::fprintf(stderr, "FAILED: %s\n", error.what());
    return 1;
  }
  std::puts("ok");
  return 0;
}
