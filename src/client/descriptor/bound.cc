// SPDX-License-Identifier: BSD-2-Clause
#include "client/descriptor/bound.hh"

#include <span>
#include <utility>

#include "client/link/numbers.hh"
#include "client/ring/null_rings.hh"
#include "client/ring/pipe/rx.hh"
#include "client/ring/pipe/tx.hh"
#include "client/ring/switch/rx.hh"
#include "client/ring/switch/tx.hh"

namespace unetmap::client {
namespace {

std::unique_ptr<TxRing> make_tx(Port& port, uint32_t index) {
  if (port.kind() == wire::PortKind::kMonitor) return std::make_unique<MonitorTxRing>(port, index);
  if (port.info.peer.rx_rings > 0) return std::make_unique<PipeTxRing>(port, index);
  if (port.kind() == wire::PortKind::kNull) return std::make_unique<NullTxRing>(port, index);
  return std::make_unique<SwitchTxRing>(port, index);
}

std::unique_ptr<RxRing> make_rx(Port& port, uint32_t index) {
  if (port.info.peer.tx_rings > 0) return std::make_unique<PipeRxRing>(port, index);
  if (port.kind() == wire::PortKind::kNull) return std::make_unique<NullRxRing>(port, index);
  return std::make_unique<SwitchRxRing>(port, index);
}

}  // namespace

void Bound::make_rings() {
  for (uint32_t i = info.tx_first; i < info.tx_end; i++) {
    if (!nic) {
      tx.push_back(make_tx(*this, i));
      continue;
    }
    auto ring = std::make_unique<InterfaceTxRing>(*this, i, *nic);
    nic_tx_.push_back(ring.get());
    tx.push_back(std::move(ring));
  }
  for (uint32_t i = info.rx_first; i < info.rx_end; i++) {
    if (!nic) {
      rx.push_back(make_rx(*this, i));
      continue;
    }
    auto ring = std::make_unique<InterfaceRxRing>(*this, i, *nic, nic_tx_);
    nic_rx_.push_back(ring.get());
    rx.push_back(std::move(ring));
  }
}

Result<std::unique_ptr<Bound>> Bound::make(Connection& connection, const wire::BindInfo& info,
                                           std::vector<UniqueFd>& fds) {
  if (fds.size() < wire::kBindFds) return Error{EPROTO, "unetmapd: registered, but without the descriptors for it"};
  std::unique_ptr<Bound> out(new Bound(connection, info));
  auto region = map_region(info.region, fds[wire::kPrivateFd].get(), fds[wire::kExchangeFd].get());
  if (!region) return region.error();
  auto sw = map_switch(fds[wire::kSwitchFd].get());
  if (!sw) return sw.error();
  out->region = *region;
  out->sw = *sw;
  out->doorbell = move_high(std::move(fds[wire::kDoorbellFd]));
  if (info.nic.kind != wire::NicKind::kNone) {
    auto nic = NicSockets::make(info, std::span(fds).subspan(wire::kBindFds), out->doorbell.get());
    if (!nic) return nic.error();
    out->nic = std::move(*nic);
  }
  out->make_rings();
  // So that an interface has buffers to receive into before anybody asks.
  if (out->nic)
    for (auto& ring : out->rx) ring->sync();
  return out;
}

void Bound::close_nic() {
  if (!nic) return;
  for (InterfaceTxRing* ring : nic_tx_) ring->close();
  for (InterfaceRxRing* ring : nic_rx_) ring->close();
  nic->close();
}

}  // namespace unetmap::client
