// SPDX-License-Identifier: BSD-2-Clause
#include "client/ring/pipe/rx.hh"

#include "client/link/rpc.hh"
#include "ring/pipe.hh"
#include "vale/slot.hh"

namespace unetmap::client {

PipeRxRing::PipeRxRing(Port& port, uint32_t index) : RxRing(port, index) {
  const wire::PortInfo& peer = port.info.peer;
  peer_slots_ = port.ring_at(peer.tx_ring_ofs + index % peer.tx_rings * peer.tx_ring_stride)->slot;
}

int PipeRxRing::receive(ServiceIndexes& at, uint32_t head, bool recover) {
  if (recover) [[unlikely]]
    tell(port_.connection.fd(), wire::Op::kAudit, {});
  const bool gave_back = head != at.hwcur;
  if (gave_back) {
    release_to_peer(at.hwcur, head);
    pipe::release(*kring_, head);
  }
  const uint32_t hwtail = pipe::shown(*kring_), n = num_slots_;
  if (hwtail >= n) return reinit();
  const uint32_t used = (hwtail + n - head) % n;
  const bool in_vain = !gave_back && hwtail == shown_ && used < n - 1;
  if (somebody_waits(kring_->writers) && (used == 0 || in_vain || (used <= n / 2 && peer_elsewhere()))) wake_writers();
  at = {head, hwtail};
  return 0;
}

// The other end has these slots again, with the buffers that are in them now.
void PipeRxRing::release_to_peer(uint32_t hwcur, uint32_t head) {
  const uint32_t nbufs = port_.info.region.nbufs;
  for (uint32_t at = hwcur; at != head; at = at + 1 == num_slots_ ? 0 : at + 1) {
    if (!(ring_->slot[at].flags & NS_BUF_CHANGED)) continue;
    netmap_slot slot = vale::load_slot(ring_->slot[at]);
    if (slot.buf_idx >= 2 && slot.buf_idx < nbufs) peer_slots_[at] = slot;
    ring_->slot[at].flags = uint16_t(slot.flags & ~NS_BUF_CHANGED);
  }
}

}  // namespace unetmap::client
