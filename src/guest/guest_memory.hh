// SPDX-License-Identifier: BSD-2-Clause
// The memory of a virtual machine, as its front-end (QEMU, virtio-user) handed it to us in file descriptors.
//
// This folder stands below both src/proto (which fills a GuestMemory from its messages) and src/dev (whose ring walkers
// read and write through it). Two address spaces lead to it: guest addresses (descriptors of a ring hold them; physical
// in the guest) and user addresses (of the front-end process; where a ring is, is told in them).
//
// Every address and length may be a lie: all look-ups check bounds without overflow and give nullptr when any byte lies
// outside. A file that is cut short under us raises SIGBUS at the next touch; a handler then puts zero pages in the
// place of the whole region and marks the memory broken(): the device stops, the process lives.
//
// One thread at a time: whoever changes the regions is the one who walks the rings, between two batches. Pointers are
// valid until generation() changes.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/fd.hh"
#include "base/result.hh"

namespace unetmap::guest {

struct Region {
  uint64_t guest = 0;  // where the guest sees it
  uint64_t bytes = 0;
  uint64_t user = 0;     // where the front-end sees it
  uint64_t offset = 0;   // in the file
  bool writable = true;  // else what is written here stays here
};

class GuestMemory {
 public:
  static constexpr uint32_t kMaxRegions = 128;

  GuestMemory();
  ~GuestMemory();
  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;

  // Maps one region more; or one that is there anew: QEMU 7.2 tells of each once for every pair of queues, both when it
  // comes and when it goes. The descriptor is not needed afterwards. Errors: EINVAL empty, wrapping or overlapping
  // region, file too short or of a kind that can block; ENOSPC too many; what mmap(2) gives.
  Result<void> add(const Region& region, int fd);
  // Unmaps the region that `region` names by guest address, size and user address. ENOENT if there was none. A
  // front-end that changes a region takes it away and adds it again, while rings run: see away().
  Result<void> remove(const Region& region);
  // All of them at once; on error everything stays as it was. fds[i] belongs to regions[i].
  Result<void> replace(std::span<const Region> regions, std::span<const UniqueFd> fds);
  void clear();
  uint32_t regions() const { return uint32_t(table_.size()); }

  // Changes with each change of the regions: pointers got before are void.
  uint32_t generation() const { return generation_; }
  // A file behind it was cut short: what was read since is zeros. Only clear() or replace() mends it.
  bool broken() const { return broken_->load(std::memory_order_relaxed); }

  // Whether `guest` lies where a region was taken away and none came in its place yet. Who meets such an address waits
  // for generation() to change; any other that is in no region is a lie.
  bool away(uint64_t guest) const;

  // Where [guest, guest + len) is here; nullptr unless it lies in one region whole.
  uint8_t* at(uint64_t guest, uint64_t len) const {
    for (const Entry& entry : table_) {
      uint64_t into = guest - entry.guest;
      if (into < entry.bytes && len <= entry.bytes - into) [[likely]]
        return entry.host + into;
    }
    return nullptr;
  }
  // The same for an address of the front-end.
  uint8_t* at_user(uint64_t user, uint64_t len) const;

  // As much of [guest, guest + len) as lies in one region; at is nullptr if `guest` is in none. A buffer that crosses
  // from region to region is taken piece by piece.
  struct Piece {
    uint8_t* at;
    uint64_t bytes;
  };
  Piece piece(uint64_t guest, uint64_t len) const {
    for (const Entry& entry : table_) {
      uint64_t into = guest - entry.guest;
      if (into < entry.bytes) [[likely]]
        return {entry.host + into, len < entry.bytes - into ? len : entry.bytes - into};
    }
    return {nullptr, 0};
  }
  // The guest address of an address of the front-end; false if it is in no region. For the log.
  bool guest_of_user(uint64_t user, uint64_t& guest) const;

  // Live migration: one bit for each page of 4096 bytes of guest addresses, in memory shared with the front-end, set
  // after each write while logging. An fd of -1 takes the log away.
  Result<void> set_log(int fd, uint64_t bytes, uint64_t offset);
  void set_logging(bool on) { logging_ = on; }
  bool logging() const { return logging_ && log_ != nullptr; }
  // To be called after [guest, guest + bytes) was written.
  void written(uint64_t guest, uint64_t bytes) const {
    if (logging()) [[unlikely]]
      mark(guest, bytes);
  }

  // Calls f(host address, bytes) for each region: for those who let others read it.
  template <class F>
  void each_region(F&& f) const {
    for (const Entry& entry : table_) f(entry.host, entry.bytes);
  }

 private:
  class Window;
  struct Entry {
    uint64_t guest, bytes, user;
    uint8_t* host;
    std::unique_ptr<Window> window;
  };

  std::vector<Entry>::iterator find(const Region& region);
  Result<Entry> map(const Region& region, int fd) const;
  static Result<void> check(const std::vector<Entry>& table, const Region& region);
  void mark(uint64_t guest, uint64_t bytes) const;

  std::vector<Entry> table_;
  std::vector<Region> away_;  // taken away, and nothing was added there since; at most kMaxRegions
  uint32_t generation_ = 1;
  bool logging_ = false;
  std::unique_ptr<std::atomic<bool>> broken_;  // on the heap: the signal handler knows its address
  uint8_t* log_ = nullptr;
  uint64_t log_bytes_ = 0;
  std::unique_ptr<Window> log_window_;
};

}  // namespace unetmap::guest
