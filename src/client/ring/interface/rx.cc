// SPDX-License-Identifier: BSD-2-Clause
#include "client/ring/interface/rx.hh"

#include <cerrno>
#include <utility>

#include "client/ring/kring_lock.hh"
#include "vale/slot.hh"

namespace unetmap::client {

InterfaceRxRing::InterfaceRxRing(Port& port, uint32_t index, const NicSockets& sockets,
                                 std::vector<InterfaceTxRing*> out)
    : RxRing(port, index), sockets_(sockets), out_(std::move(out)) {
  const wire::PortInfo& info = port.info.port;
  const wire::RegionInfo& region = port.info.region;
  NicRxView view{ring_->slot, num_slots_, region.buf_size, region.nbufs, port.region->bufs(), kring_};
  state_ = reinterpret_cast<NicState*>(port.privates() + info.rx_state_ofs + index * info.rx_state_stride);
  nic_ = sockets.rx(index, view, state_);
  if (!nic_) refusal_ = ENXIO;
}

void InterfaceRxRing::close() {
  KringLock lock(kring_->lock);
  if (!lock.held()) return;
  nic_.reset();
  refusal_ = ENXIO;
}

int InterfaceRxRing::receive(ServiceIndexes& at, uint32_t head, bool recover) {
  const uint32_t from = at.hwtail;
  if ((ring_->flags & NR_FORWARD) && head != at.hwcur) forward_released(at.hwcur, head);
  const bool failed = port_.failed();
  if (failed && port_.gone()) nic_->abandon();
  const int error = failed ? ENXIO : nic_->sync(at.hwcur, head, at.hwtail, recover);
  kring_->hwcur.store(at.hwcur, std::memory_order_relaxed);
  kring_->hwtail.store(at.hwtail, std::memory_order_relaxed);
  if (at.hwtail != from && monitored(port_.entry())) observe(from, at.hwtail, Moment::kArrived);
  if (!error) return 0;
  publish(at);  // what came, came
  return ENXIO;
}

bool InterfaceRxRing::of_host() const {
  return index() >= uint32_t{port_.info.port.rx_rings} - port_.info.port.host_rx_rings;
}

// The frame that begins at slot `at`, in one piece: where it is, or in `gathered`. Nothing if it is none, or not whole
// before `head`. `slots`: those it takes.
std::span<const uint8_t> InterfaceRxRing::released_frame(uint32_t at, uint32_t head, std::vector<uint8_t>& gathered,
                                                         uint32_t& slots) const {
  const wire::RegionInfo& region = port_.info.region;
  std::span<const uint8_t> whole;
  bool good = true, more = true;
  gathered.clear();
  for (slots = 0; more && at != head; at = at + 1 == num_slots_ ? 0 : at + 1, slots++) {
    netmap_slot slot = vale::load_slot(ring_->slot[at]);
    more = slot.flags & NS_MOREFRAG;
    good = good && slot.buf_idx >= 2 && slot.buf_idx + 1 < region.nbufs && slot.len <= region.buf_size &&
           gathered.size() <= UINT16_MAX;
    if (!good) continue;
    std::span<const uint8_t> part(port_.region->bufs() + uint64_t{slot.buf_idx} * region.buf_size, slot.len);
    if (slots == 0 && !more) {
      whole = part;
    } else {
      gathered.insert(gathered.end(), part.begin(), part.end());
      whole = gathered;
    }
  }
  return good && !more && whole.size() >= 14 ? whole : std::span<const uint8_t>();
}

// Received frames go up to the host stack, the host's go out.
bool InterfaceRxRing::pass_on(std::span<const uint8_t> frame) {
  if (!of_host()) return sockets_.to_host(frame.data(), uint32_t(frame.size()));
  const uint32_t wires = uint32_t{port_.info.port.tx_rings} - port_.info.port.host_tx_rings;
  for (InterfaceTxRing* ring : out_)
    if (ring->index() < wires && ring->pass_on(frame)) return true;
  return false;
}

// Frames that the application released with NS_FORWARD set.
void InterfaceRxRing::forward_released(uint32_t hwcur, uint32_t head) {
  std::vector<uint8_t> gathered;
  for (uint32_t at = hwcur, slots; at != head; at = (at + slots) % num_slots_) {
    bool wanted = ring_->slot[at].flags & NS_FORWARD;
    std::span<const uint8_t> frame = released_frame(at, head, gathered, slots);
    if (!wanted || frame.empty()) continue;
    ring_->slot[at].flags &= uint16_t(~NS_FORWARD);
    if (!pass_on(frame)) state_->rx_lost_forward.fetch_add(1, std::memory_order_relaxed);
  }
}

}  // namespace unetmap::client
