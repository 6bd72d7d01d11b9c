// SPDX-License-Identifier: BSD-2-Clause
// All memory regions: made, found by their numbers, and gone with the last port in them.
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <unordered_map>

#include "base/result.hh"
#include "daemon/memory/region.hh"
#include "daemon/port/port.hh"

namespace unetmap::daemon {

// How a port that does not exist yet is to be made.
struct Recipe {
  PortShape shape;
  uint32_t extra_bufs = 0;
  uint16_t host_tx_rings = 1, host_rx_rings = 1;  // of an interface
  uint16_t mem_id = 0;
  std::shared_ptr<Region> region;  // given: nothing else counts
  bool exchanges = false;          // buffers with others of its switch that do so, too
};

class Regions {
 public:
  static constexpr uint32_t kMaxId = 0xffff;      // nr_mem_id has 16 bits
  static constexpr uint32_t kExchangingPorts = 64;  // of 1024 slots each way: what the region of a switch has room for
  static constexpr uint32_t kNicBuffers = 32768;  // of the region that interfaces share; pinned while one is bound

  // Where their numbers begin; any value will do. Programs tell regions of one process apart by their number, also
  // those of two daemons, so each daemon begins elsewhere.
  void number_from(uint32_t any) { last_ = kGlobalRegion + any % (kMaxId - kGlobalRegion); }
  void set_nic_buffers(uint32_t buffers) { nic_buffers_ = buffers; }

  // The number that the next one gets; 0: there is none left.
  uint32_t next_id() const;
  Result<std::shared_ptr<Region>> make(const RegionShape& shape);
  // Whose buffers are in the memory of a device (Region::over).
  Result<std::shared_ptr<Region>> make_over(const RegionShape& shape, UniqueFd device);
  // kGlobalRegion is made when it is first asked for.
  Result<std::shared_ptr<Region>> by_id(uint32_t id);
  // `sw`: the switch that the port will be on, for those that exchange buffers.
  Result<std::shared_ptr<Region>> for_recipe(const Recipe& recipe, const std::string& sw = {});
  // What kGlobalRegion is like, there or not, and how many of its buffers are nobody's.
  RegionShape global_shape() const;
  uint32_t free_global_buffers() const;

  // Memory of an application, which several ports of its process may name, and then share the region.
  struct External {
    pid_t pid;
    uint64_t address, bytes;
    auto operator<=>(const External&) const = default;
  };
  std::shared_ptr<Region> find_external(const External& memory) const;
  Result<std::shared_ptr<Region>> make_external(const External& memory, const RegionShape& shape);

  // The daemon ends: programs keep the memory they have mapped as it is.
  void leave_memory();

 private:
  std::unordered_map<uint32_t, std::weak_ptr<Region>> by_id_;
  std::map<External, std::weak_ptr<Region>> external_;
  std::map<std::string, std::weak_ptr<Region>> exchanging_;  // by the switch
  uint32_t last_ = kGlobalRegion, last_unique_ = 0, nic_buffers_ = kNicBuffers;
};

}  // namespace unetmap::daemon
