// SPDX-License-Identifier: BSD-2-Clause
#include "ring_port.hh"

#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>

namespace unetmap::parts {

bool RingPort::open(const std::string& spec, uint32_t extra_buffers) {
  name_ = spec;
  desc_ = nmport_prepare(spec.c_str());
  if (!desc_) return false;
  desc_->reg.nr_extra_bufs = extra_buffers;
  if (nmport_open_desc(desc_) < 0) {
    nmport_close(desc_);
    desc_ = nullptr;
    return false;
  }
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

std::vector<uint32_t> RingPort::take_extra_buffers() {
  std::vector<uint32_t> out;
  const std::vector<RingView>& rings = rx.empty() ? tx : rx;
  if (rings.empty()) return out;
  uint32_t at = desc_->nifp->ni_bufs_head;
  while (rings[0].valid_buffer(at) && out.size() < desc_->reg.nr_extra_bufs) {
    out.push_back(at);
    memcpy(&at, rings[0].buffer(at), sizeof at);
  }
  desc_->nifp->ni_bufs_head = 0;
  return out;
}

void RingPort::put_extra_buffers(const std::vector<uint32_t>& buffers) {
  const std::vector<RingView>& rings = rx.empty() ? tx : rx;
  uint32_t next = desc_->nifp->ni_bufs_head;
  for (const uint32_t buffer : buffers) {
    memcpy(rings[0].buffer(buffer), &next, sizeof next);
    next = buffer;
  }
  desc_->nifp->ni_bufs_head = next;
}

int RingPort::sync_tx() { return ioctl(fd(), NIOCTXSYNC, nullptr) == 0 ? 0 : errno; }

int RingPort::sync_rx() { return ioctl(fd(), NIOCRXSYNC, nullptr) == 0 ? 0 : errno; }

void RingPort::reload() {
  for (RingView& ring : rx) ring.reload();
  for (RingView& ring : tx) ring.reload();
}

}  // namespace unetmap::parts
