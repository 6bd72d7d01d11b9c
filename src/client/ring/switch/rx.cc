// SPDX-License-Identifier: BSD-2-Clause
#include "client/ring/switch/rx.hh"

#include <sched.h>

#include "client/link/clock.hh"
#include "client/link/rpc.hh"

namespace unetmap::client {
namespace {

// After so long senders that do not come out of their sync (stopped ones) are left behind by a reset.
constexpr uint64_t kResetPatience_ms = 80;

}  // namespace

vale::RxView SwitchRxRing::view_of(Port& port, uint32_t index) {
  const wire::PortInfo& info = port.info.port;
  const wire::RegionInfo& region = port.info.region;
  vale::RxView view;
  view.slots = port.ring_at(info.rx_ring_ofs + index * info.rx_ring_stride)->slot;
  view.num_slots = info.rx_slots;
  view.kring = port.rx_kring(info, index);
  auto* state =
      reinterpret_cast<std::atomic<uint32_t>*>(port.privates() + info.rx_state_ofs + index * info.rx_state_stride);
  view.cell_of = state;
  view.own = state + info.rx_slots;
  vale::ExchangeShape shape{info.rx_slots - 1, info.rx_base_buf + index * info.rx_base_stride, region.nbufs,
                            region.buf_size, info.offset_mask != 0};
  view.exchange =
      vale::Exchange(port.region->exchange.data() + info.exchange_ofs + index * info.exchange_stride, shape);
  view.offset_mask = info.offset_mask;
  view.port = port.entry();
  view.takes_buffers = info.flags & (kPortZeroCopy | kPortExchanges);
  view.region = port.privates();
  view.region_bytes = region.private_bytes;
  return view;
}

SwitchRxRing::SwitchRxRing(Port& port, uint32_t index)
    : RxRing(port, index), receiver_(port.sw->shared(), view_of(port, index)) {}

int SwitchRxRing::receive(ServiceIndexes& at, uint32_t head, bool recover) {
  if (recover) [[unlikely]] {
    receiver_.recover(at.hwcur, at.hwtail);
    tell(port_.connection.fd(), wire::Op::kAudit, {});
  }
  const vale::Exchange& ex = receiver_.view().exchange;
  const uint32_t before = at.hwtail;
  const bool gave_back = head != at.hwcur;
  uint32_t hwtail = at.hwtail;
  if (gave_back) {
    receiver_.give_back(at.hwcur, head);
    kring_->hwcur.store(head, std::memory_order_relaxed);
  }
  note_cpu(uint32_t(sched_getcpu()) + 1);
  if (resetting()) [[unlikely]]
    step_reset(hwtail, head);
  hwtail = receiver_.take(hwtail, head);
  kring_->hwtail.store(hwtail, std::memory_order_relaxed);
  // Who waits for room is woken, one after the other, when that pays: we have nothing more to do, or half of the ring is free and he
  // can run beside us, not instead of us. A look that neither gave back nor brought anything is by somebody who keeps
  // slots, and will not be done with all of them.
  bool in_vain = !gave_back && hwtail == before && ex.free_cells() > 0;
  if (somebody_waits(ex.shared().writers) &&
      (hwtail == head || in_vain || (ex.free_cells() >= ex.shape().cells / 2 && peer_elsewhere())))
    wake_writer();
  at = {head, hwtail};
  return 0;
}

void SwitchRxRing::step_reset(uint32_t& hwtail, uint32_t hwcur) {
  if (!receiver_.resetting()) reset_since_ms_ = coarse_ms();
  if (receiver_.reset_step(hwtail, hwcur, coarse_ms() - reset_since_ms_ > kResetPatience_ms)) wake_writers();
}

void SwitchRxRing::note_cpu(uint32_t cpu) {
  Atomic<uint32_t>& here = shared().receiver_cpu;
  if (here.load(std::memory_order_relaxed) != cpu) here.store(cpu, std::memory_order_relaxed);
}

uint64_t SwitchRxRing::missed() const {
  return shared().lost_full.load(std::memory_order_relaxed) + shared().lost_oversize.load(std::memory_order_relaxed) +
         kring_->lost_corrupt.load(std::memory_order_relaxed);
}

}  // namespace unetmap::client
