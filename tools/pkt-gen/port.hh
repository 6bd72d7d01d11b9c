// SPDX-License-Identifier: BSD-2-Clause
// Netmap ports, opened and described.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.hh"
#include "options.hh"

struct nmport_d;
struct netmap_ring;

namespace unetmap::pktgen {

// One descriptor bound to one or all rings of a port. Closed with the object.
class Port {
 public:
  // The whole port; or, with several threads asked for, its first ring (pair).
  static Result<Port> open(const Options& options);
  // A second descriptor, bound to ring `index` of the same port.
  Result<Port> open_ring(unsigned index, const Options& options) const;

  int fd() const;
  const std::string& name() const { return name_; }
  uint32_t tx_rings() const;  // bound to this descriptor
  uint32_t rx_rings() const;
  netmap_ring* tx_ring(uint32_t i) const;  // i counts from 0 among those
  netmap_ring* rx_ring(uint32_t i) const;
  uint32_t queues(bool sending) const;  // of the port, host rings included
  uint64_t region_bytes() const;
  uint32_t extra_buffers() const;
  bool is_software() const;      // VALE port, pipe or monitor of one: there is no link to wait for
  std::string describe() const;  // for -v: region and rings, several lines

  // Length of the virtio-net header that frames on this port start with.
  Result<uint32_t> vnet_header() const;
  Result<void> set_vnet_header(uint32_t bytes) const;

  // Why poll reported an error on this port: asks it with a sync. A sentence.
  std::string failure() const;
  // Packets for its receive rings that were lost for want of room since it was opened.
  uint64_t missed() const;

 private:
  struct Close {
    void operator()(nmport_d* port) const;
  };
  std::unique_ptr<nmport_d, Close> port_;
  std::string name_;
  int64_t missed_before_ = 0;
  uint32_t asked_mode_ = 0;  // before a ring of its own was chosen for each thread
};

}  // namespace unetmap::pktgen
