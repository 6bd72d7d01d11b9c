// SPDX-License-Identifier: BSD-2-Clause
// The sockets by which the frames of an interface come and go: AF_XDP, one for each queue, or one AF_PACKET socket.
#pragma once

#include <xdp/xsk.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "base/fd.hh"
#include "base/result.hh"
#include "keeper/interface.hh"
#include "wire/keeper.hh"

namespace unetmap::keeper {

struct XdpSocketSettings {
  std::vector<uint32_t> queues;
  int memfd = -1;
  wire::UmemPlace umem;
  uint32_t rx_ring = 0, tx_ring = 0;  // entries, powers of two; also of the fill and the completion ring
  bool zero_copy = false;
  bool multi_buffer = false;
};

// All with the same UMEM. The memory is not mapped here beyond the call: the kernel holds its pages.
class XdpSockets {
 public:
  static Result<XdpSockets> open(const Interface& interface, const XdpSocketSettings& settings);
  XdpSockets(XdpSockets&&) = default;
  XdpSockets& operator=(XdpSockets&&) = delete;

  std::vector<int> descriptors() const;

 private:
  XdpSockets() = default;
  struct Delete {
    void operator()(xsk_umem* umem) const { (void)xsk_umem__delete(umem); }
    void operator()(xsk_socket* socket) const { xsk_socket__delete(socket); }
  };
  struct Rings;  // libxdp keeps pointers to them
  struct DeleteRings {
    void operator()(Rings* rings) const;
  };
  std::unique_ptr<Rings, DeleteRings> rings_;
  std::unique_ptr<xsk_umem, Delete> umem_;
  std::vector<std::unique_ptr<xsk_socket, Delete>> sockets_;  // before the UMEM goes
};

// Sees what the interface receives, except frames with this mark. As described in wire/keeper.hh.
Result<UniqueFd> open_packet_socket(const Interface& interface, uint32_t not_marked, uint32_t slots);

}  // namespace unetmap::keeper
