// SPDX-License-Identifier: BSD-2-Clause
// Mappings of this process, one for each memfd however many descriptors need it.
#pragma once

#include <atomic>
#include <memory>

#include "base/fd.hh"
#include "base/result.hh"
#include "mem/memfd.hh"
#include "ring/layout.hh"
#include "wire/messages.hh"

namespace unetmap::client {

// One region's memory as mapped here. Shared by all that need it; `privates` only once a port of it is ours.
struct RegionMap {
  ~RegionMap();
  wire::RegionInfo info{};
  mem::Mapping privates, exchange;
  UniqueFd private_fd, exchange_fd;  // kept for the application's own mmap
  uint8_t* bufs() const { return exchange.data() + info.exchange_bytes + info.buf_headroom; }
  // Called when a port of the region is busy; `buffers`: how many from the first on are in use. Acts once.
  void note_busy(uint32_t buffers) {
    if (busy.exchange(true, std::memory_order_relaxed)) return;
    exchange.use_huge_pages(info.exchange_bytes + uint64_t{buffers} * info.buf_size);
  }
  std::atomic<bool> busy{false};
};
struct SwitchMap {
  mem::Mapping memory;
  SwitchShared* shared() const { return reinterpret_cast<SwitchShared*>(memory.data()); }
};

// Mapped once a process and memfd. `private_fd` may be -1.
Result<std::shared_ptr<RegionMap>> map_region(const wire::RegionInfo& info, int private_fd, int exchange_fd);
Result<std::shared_ptr<SwitchMap>> map_switch(int fd);

}  // namespace unetmap::client
