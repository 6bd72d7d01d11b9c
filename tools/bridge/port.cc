// SPDX-License-Identifier: BSD-2-Clause
#include "port.hh"

#include <sys/ioctl.h>

#include <cerrno>

namespace bridge {

bool Port::open(const std::string& spec) {
  name_ = spec;
  desc_ = nmport_open(spec.c_str());
  if (!desc_) return false;
  const char* end = static_cast<const char*>(desc_->mem->mem) + desc_->mem->size;
  // An empty interval has first > last.
  for (unsigned i = desc_->first_rx_ring; i <= desc_->last_rx_ring; ++i) {
    rx.emplace_back(NETMAP_RXRING(desc_->nifp, i), end);
  }
  for (unsigned i = desc_->first_tx_ring; i <= desc_->last_tx_ring; ++i) {
    tx.emplace_back(NETMAP_TXRING(desc_->nifp, i), end);
  }
  return true;
}

int Port::sync_tx() { return ioctl(fd(), NIOCTXSYNC, nullptr) == 0 ? 0 : errno; }

int Port::sync_rx() { return ioctl(fd(), NIOCRXSYNC, nullptr) == 0 ? 0 : errno; }

void Port::reload() {
  for (RingView& ring : rx) ring.reload();
  for (RingView& ring : tx) ring.reload();
}

}  // namespace bridge
