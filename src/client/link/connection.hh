// SPDX-License-Identifier: BSD-2-Clause
// The connection that a netmap descriptor is: its number, while it has one.
#pragma once

#include <atomic>

namespace unetmap::client {

class Connection {
 public:
  // A number under which this process has it; -1 after the last was closed.
  int fd() const { return fd_.load(std::memory_order_relaxed); }

 protected:
  ~Connection() = default;
  std::atomic<int> fd_{-1};
};

}  // namespace unetmap::client
