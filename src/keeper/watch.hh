// SPDX-License-Identifier: BSD-2-Clause
// Notices what others do to an interface: down, up, renamed, removed, another number of queues.
#pragma once

#include <vector>

#include "base/result.hh"
#include "keeper/interface.hh"
#include "keeper/netlink.hh"
#include "wire/keeper.hh"

namespace unetmap::keeper {

class Watch {
 public:
  // Listens from now on; what happens before follow() is told after it.
  static Result<Watch> open();
  void follow(const Interface& interface, uint32_t queues);

  // Readable: call read().
  std::vector<int> descriptors() const;
  std::vector<wire::KeeperEvent> read();

 private:
  Watch() = default;
  NetlinkSocket links_, channels_;  // the second is empty where the kernel does not tell
  Interface known_;
  uint32_t queues_ = 0;
};

}  // namespace unetmap::keeper
