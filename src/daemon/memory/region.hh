// SPDX-License-Identifier: BSD-2-Clause
// One memory region: its two memfds (see ring/layout.hh) and what of them is handed out.
//
// The daemon keeps none of it mapped: it writes with pwrite and reads with pread, which cost no page tables, allocate
// nothing for holes on reading, and answer a full memory with an error instead of a signal. Whatever it reads back was
// writable by applications and is checked by the reader.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/fd.hh"
#include "base/result.hh"
#include "mem/extents.hh"
#include "net/netmap.h"
#include "wire/messages.hh"

namespace unetmap::daemon {

constexpr uint32_t kGlobalRegion = 1;  // the region id that all who ask for it share, NICs first of all
constexpr uint64_t kPageBytes = 4096;

constexpr uint64_t round_up(uint64_t n, uint64_t to) { return (n + to - 1) / to * to; }

// Pools as NETMAP_REQ_POOLS_INFO_GET tells them; netmap_if and rings really share one area.
struct RegionShape {
  uint32_t if_objsize = 1024, if_objtotal = 0;
  uint32_t ring_objsize = 0, ring_objtotal = 0;
  uint32_t buf_size = kDefaultBufSize, nbufs = 0;
  uint32_t buf_headroom = 0;  // not 0: buffers are of a UMEM, their pages in the kernel's hands as long as that lives
  uint64_t kring_bytes = 0, exchange_bytes = 0;  // page-aligned by the region

  uint64_t app_bytes() const {
    return round_up(uint64_t{if_objsize} * if_objtotal + uint64_t{ring_objsize} * ring_objtotal, kPageBytes);
  }
  uint64_t memsize() const { return app_bytes() + uint64_t{nbufs} * buf_size; }
};
constexpr uint64_t kMaxMemsize = (uint64_t{1} << 32) - kPageBytes;  // the old API tells it in 32 bits

class Region {
 public:
  static Result<std::shared_ptr<Region>> create(uint32_t id, uint32_t unique, const RegionShape& shape);
  // Whose buffers are in the memory of a device: shape.exchange_bytes into the file `device`, and in front of them there
  // is nothing of ours.
  static Result<std::shared_ptr<Region>> over(uint32_t id, uint32_t unique, const RegionShape& shape, UniqueFd device);
  ~Region();
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  // From now on nothing is cleared when it is given back: the daemon ends, and programs still work in the memory.
  void leave_memory() { left_ = true; }

  const wire::RegionInfo& info() const { return info_; }
  const RegionShape& shape() const { return shape_; }
  int private_fd() const { return private_.get(); }
  int exchange_fd() const { return exchange_.get(); }
  nmreq_pools_info pools_info() const { return pools_info(shape_, uint16_t(info_.id)); }
  static nmreq_pools_info pools_info(const RegionShape& shape, uint16_t id);

  // Parts of the private memfd (netmap_if and rings; krings) and of the exchange memfd. What is taken reads as zeros.
  enum Area { kApp = 0, kKrings = 1, kExchanges = 2 };
  std::optional<uint64_t> take(Area area, uint64_t bytes);
  // Gives a part back; its memory returns to the system at once.
  void give(Area area, uint64_t at, uint64_t bytes);

  // Packet buffers, `count` in a row; 0 when there are not so many (buffers 0 and 1 are never handed out).
  uint32_t take_buffers(uint32_t count);
  // False if the index is out of range or the buffer is free: applications name buffers, so ask.
  bool give_buffer(uint32_t index);
  void give_buffers(std::vector<uint32_t>& indices);  // sorts them; bad ones are ignored
  bool buffer_taken(uint32_t index) const { return bufs_.taken(index); }
  uint32_t free_buffers() const { return uint32_t(bufs_.free_total()); }

  Result<void> write_private(uint64_t at, const void* from, size_t bytes) const;
  Result<void> write_exchange(uint64_t at, const void* from, size_t bytes) const;
  // Short reads and errors leave zeros.
  void read_private(uint64_t at, void* to, size_t bytes) const;
  void read_exchange(uint64_t at, void* to, size_t bytes) const;
  uint64_t buffer_at(uint32_t index) const {
    return info_.exchange_bytes + info_.buf_headroom + uint64_t{index} * info_.buf_size;
  }

 private:
  Region() = default;
  static Result<std::shared_ptr<Region>> with(uint32_t id, uint32_t unique, const RegionShape& shape, UniqueFd device);
  void clear_buffers(uint32_t first, uint32_t count) const;
  int fd_of(Area area) const { return area == kExchanges ? exchange_.get() : private_.get(); }

  void clear(int fd, uint64_t at, uint64_t bytes) const;
  uint64_t exchange_end() const { return info_.exchange_bytes + uint64_t{info_.nbufs} * info_.buf_size; }

  wire::RegionInfo info_{};
  RegionShape shape_;
  bool left_ = false;
  UniqueFd private_, exchange_;
  mem::Extents areas_[3], bufs_;
};

}  // namespace unetmap::daemon
