// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "base/fd.hh"
#include "base/result.hh"
#include "client/port/port.hh"
#include "vale/forward.hh"

namespace unetmap::client {

// The ports that one ring delivers to, as mapped here; what its Forwarder needs of the world.
class Destinations final : public vale::Outside {
 public:
  explicit Destinations(Port& port) : port_(port) {}
  ~Destinations();
  // Unmaps what is gone, if ports came or went since the last call. `kept`: a destination that the caller remembers,
  // set to nullptr if it is among those.
  void refresh(vale::Dest*& kept);
  // After each sync that sent something: regions between which much goes are put on huge pages.
  void note_sync();

  vale::Dest* resolve(uint16_t port, uint32_t generation) override;
  void wake(RxExchange& ring, vale::Dest& dest) override;
  void relieve(vale::Dest& dest, const vale::Exchange& ex, bool empty_handed) override;
  // What room is left at a ring of a port's, for which the caller had waited: to the next who waits.
  void pass_on(const vale::Exchange& ring, uint16_t port);
  // Around each time that cells may be in our hands: marks `seq` (PortEntry::tx_seq) odd in between.
  void enter(std::atomic<uint32_t>& seq);
  void leave();
  bool read_user(uint64_t address, uint8_t* to, uint32_t len) override;
  uint64_t now_ns() override;

 private:
  vale::Dest* look_up(uint16_t port, uint32_t generation);
  struct Target {
    vale::Dest dest;
    std::shared_ptr<RegionMap> region;
    uint32_t buffers = 0;  // of its region that its rings began with
  };
  Result<std::unique_ptr<Target>> map_target(uint16_t port, uint32_t generation);

  Port& port_;
  std::vector<std::unique_ptr<Target>> targets_;  // by port
  std::vector<uint16_t> mapped_;
  std::vector<std::pair<uint16_t, uint32_t>> refused_;  // port, generation: asked for and not to be had
  uint32_t topology_ = 0;
  uint32_t syncs_ = 0;
  std::atomic<uint32_t>* seq_ = nullptr;
  UniqueFd relief_;  // epoll instance with the doorbell, made at its first use
};

}  // namespace unetmap::client
