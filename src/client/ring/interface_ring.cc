// SPDX-License-Identifier: BSD-2-Clause
// Syncs of rings whose other side is the kernel, and NS_FORWARD between an interface's rings and the host stack.
#include <algorithm>
#include <cstring>

#include "client/nic/sockets.hh"
#include "client/link/rpc.hh"
#include "client/state.hh"

namespace unetmap::client {

bool Bound::failed() {
  if (!nic) return false;
  const PortEntry* entry = port_entry();
  bool now = !entry || (entry->flags.load(std::memory_order_relaxed) & kPortFailed);
  if (now && !failure_told_.exchange(true, std::memory_order_relaxed)) {
    auto why = ask(owner.fd(), wire::Op::kDescribe, {});
    report_error(
        why ? (std::string(info.name) + ": its interface is gone; close the descriptor and open the port again").c_str()
            : why.error().text.c_str());
  }
  if (!now) failure_told_.store(false, std::memory_order_relaxed);
  return now;
}

void TxRing::close_nic() {
  KringLock lock(kring_->lock);
  if (lock.held()) nic_.reset();
}

void RxRing::close_nic() {
  KringLock lock(kring_->lock);
  if (lock.held()) nic_.reset();
}

void Bound::close_nic() {
  if (!nic) return;
  for (auto& ring : tx) ring->close_nic();
  for (auto& ring : rx) ring->close_nic();
  nic->close();
}

int TxRing::sync_nic(uint32_t hwcur, uint32_t hwtail, uint32_t head, bool recover) {
  uint32_t before = hwcur;
  const PortEntry* entry = bound_.port_entry();
  bool straight = entry && (entry->flags.load(std::memory_order_relaxed) & kPortStraight);
  int error = bound_.failed() ? ENXIO : nic_->sync(hwcur, hwtail, head, recover, straight);
  if (hwcur != before && monitored(bound_.port_entry())) {
    if (!observer_) observer_ = std::make_unique<Observer>(bound_, index_, false);
    // The kernel may have the buffers still: all monitors get copies.
    observer_->show(view_.slots, view_.num_slots, before, hwcur, Moment::kPassedOn);
  }
  kring_->hwcur.store(hwcur, std::memory_order_relaxed);
  kring_->hwtail.store(hwtail, std::memory_order_relaxed);
  if (ring_->flags & NR_TIMESTAMP) gettimeofday(const_cast<timeval*>(&ring_->ts), nullptr);
  publish_indexes(ring_, csb_, hwcur, hwtail);
  kring_->syncs.store(kring_->syncs.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  return error ? ENXIO : 0;
}

// A frame of the host stack's goes out: through slots that the application has nothing in. False if there are too few.
bool TxRing::pass_on(std::span<const uint8_t> frame) {
  KringLock lock(kring_->lock);
  if (!lock.held() || lock.stolen() || csb_.ktoa || !nic_) return false;
  uint32_t hwcur = kring_->hwcur.load(std::memory_order_relaxed), n = view_.num_slots;
  uint32_t hwtail = kring_->hwtail.load(std::memory_order_relaxed);
  if (hwcur >= n || hwtail >= n || ring_->head != hwcur || ring_->cur != hwcur) return false;
  uint32_t room = (hwtail + n - hwcur) % n, slots = uint32_t((frame.size() + view_.buf_size - 1) / view_.buf_size);
  if (slots > room) return false;
  for (uint32_t i = 0; i < slots; i++) {
    netmap_slot& slot = ring_->slot[(hwcur + i) % n];
    if (slot.buf_idx < 2 || slot.buf_idx + 1 >= view_.nbufs) return false;
    size_t part = std::min<size_t>(frame.size() - size_t{i} * view_.buf_size, view_.buf_size);
    memcpy(view_.bufs + uint64_t{slot.buf_idx} * view_.buf_size, frame.data() + size_t{i} * view_.buf_size, part);
    slot.len = uint16_t(part);
    slot.flags = i + 1 < slots ? NS_MOREFRAG : 0;
    slot.ptr = 0;
  }
  uint32_t head = (hwcur + slots) % n;
  ring_->head = ring_->cur = head_ = head;
  return sync_nic(hwcur, hwtail, head, false) == 0;
}

// The frame that begins at slot `at`, in one piece: where it is, or in `gathered`. Nothing if it is none, or not whole
// before `head`. `slots`: those it takes.
std::span<const uint8_t> RxRing::released_frame(uint32_t at, uint32_t head, std::vector<uint8_t>& gathered,
                                                uint32_t& slots) const {
  const wire::RegionInfo& region = bound_.info.region;
  std::span<const uint8_t> whole;
  bool good = true, more = true;
  gathered.clear();
  for (slots = 0; more && at != head; at = at + 1 == num_slots_ ? 0 : at + 1, slots++) {
    netmap_slot slot = ring_->slot[at];
    more = slot.flags & NS_MOREFRAG;
    good = good && slot.buf_idx >= 2 && slot.buf_idx + 1 < region.nbufs && slot.len <= region.buf_size &&
           gathered.size() <= UINT16_MAX;
    if (!good) continue;
    std::span<const uint8_t> part(bound_.region->bufs() + uint64_t{slot.buf_idx} * region.buf_size, slot.len);
    if (slots == 0 && !more) {
      whole = part;
    } else {
      gathered.insert(gathered.end(), part.begin(), part.end());
      whole = gathered;
    }
  }
  return good && !more && whole.size() >= 14 ? whole : std::span<const uint8_t>();
}

// Frames that the application released with NS_FORWARD set: received ones go up to the host stack, the host's go out.
void RxRing::forward_released(uint32_t hwcur, uint32_t head) {
  bool from_host = index_ >= uint32_t{bound_.info.port.rx_rings} - bound_.info.port.host_rx_rings;
  std::vector<uint8_t> gathered;
  for (uint32_t at = hwcur, slots; at != head; at = (at + slots) % num_slots_) {
    bool wanted = ring_->slot[at].flags & NS_FORWARD;
    std::span<const uint8_t> frame = released_frame(at, head, gathered, slots);
    if (!wanted || frame.empty()) continue;
    ring_->slot[at].flags &= uint16_t(~NS_FORWARD);
    bool taken = !from_host && bound_.nic->to_host(frame.data(), uint32_t(frame.size()));
    for (auto& tx : bound_.tx)
      if (!taken && from_host && tx->index() < uint32_t{bound_.info.port.tx_rings} - bound_.info.port.host_tx_rings)
        taken = tx->pass_on(frame);
    if (!taken) nic_state_->rx_lost_forward.fetch_add(1, std::memory_order_relaxed);
  }
}

int RxRing::sync_nic(uint32_t hwcur, uint32_t hwtail, uint32_t head, bool recover) {
  uint32_t before = hwtail;
  bool watched = monitored(bound_.port_entry());
  if (watched && head != hwcur && !recover) observe(hwcur, head, Moment::kReleased);
  if ((ring_->flags & NR_FORWARD) && head != hwcur) forward_released(hwcur, head);
  int error = bound_.failed() ? ENXIO : nic_->sync(hwcur, head, hwtail, recover);
  kring_->hwcur.store(hwcur, std::memory_order_relaxed);
  kring_->hwtail.store(hwtail, std::memory_order_relaxed);
  if (watched && hwtail != before) observe(before, hwtail, Moment::kArrived);
  bool news = hwtail != shown_;
  shown_ = hwtail;
  tail_count_ += news;
  if (news || (ring_->flags & NR_TIMESTAMP)) gettimeofday(const_cast<timeval*>(&ring_->ts), nullptr);
  publish_indexes(ring_, csb_, hwcur, hwtail);
  kring_->syncs.store(kring_->syncs.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  return error ? ENXIO : 0;
}

}  // namespace unetmap::client
