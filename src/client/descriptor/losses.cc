// SPDX-License-Identifier: BSD-2-Clause
// What a program lost: packets in tx rings that nobody had taken when it closed the port, and packets for its receive
// rings that found no room there.
#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>

#include "base/port_address.hh"
#include "client/descriptor/calls.hh"
#include "client/descriptor/descriptor.hh"
#include "client/link/errors.hh"
#include "unetmap/unetmap.h"

namespace unetmap::client {
namespace {

std::atomic<uint64_t> abandoned{0};

}  // namespace

void Bound::note_abandoned() {
  uint64_t packets = 0;
  for (auto& ring : tx) packets += ring->unsent();
  if (packets == 0) return;
  abandoned.fetch_add(packets, std::memory_order_relaxed);
  report_notice((std::string(info.name, strnlen(info.name, sizeof info.name)) + ": closed with " +
                 std::to_string(packets) +
                 " packets in its transmit rings that nobody had taken; nmport_flush() waits for them")
                    .c_str());
}

int64_t missed(Descriptor& d) noexcept {
  Bound* bound = unless_no_memory(static_cast<Bound*>(nullptr), [&] { return d.bound(true); });
  if (!bound) {
    errno = EINVAL;
    return -1;
  }
  uint64_t packets = bound->nic ? bound->nic->missed() : 0;
  for (auto& ring : bound->rx) packets += ring->missed();
  return int64_t(packets);
}

}  // namespace unetmap::client

extern "C" int64_t unetmap_missed(int fd) {
  if (auto* d = unetmap::client::peek(fd)) return unetmap::client::missed(*d);
  errno = EBADF;
  return -1;
}

extern "C" void unetmap_port_address(const char* port, unsigned char address[6]) {
  const auto made = unetmap::port_address(port);
  memcpy(address, made.data(), made.size());
}

extern "C" uint64_t unetmap_abandoned(void) { return unetmap::client::abandoned.load(std::memory_order_relaxed); }
