// SPDX-License-Identifier: BSD-2-Clause
#include "client/memory/maps.hh"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <map>
#include <memory>
#include <new>

#include "client/link/numbers.hh"

namespace unetmap::client {
namespace {

using FileId = std::pair<dev_t, ino_t>;

struct Maps {
  std::mutex mutex;
  std::map<FileId, std::weak_ptr<RegionMap>> regions;
  std::map<FileId, std::weak_ptr<SwitchMap>> switches;
};
// Never destroyed: threads may still forward while the process exits.
Maps& maps();
void unlock_maps() { maps().mutex.unlock(); }
Maps& maps() {
  static Maps* the = [] {
    // A child finds the lock free, whichever thread held it in the parent.
    auto made = std::make_unique<Maps>();
    if (pthread_atfork([] { maps().mutex.lock(); }, unlock_maps, unlock_maps) != 0) throw std::bad_alloc();
    return made.release();
  }();
  return *the;
}

Result<FileId> inode_of(int fd) {
  struct stat info;
  if (fstat(fd, &info) < 0) return Error::from_errno(errno, "shared memory");
  return FileId{info.st_dev, info.st_ino};
}

template <class T>
void erase_expired(std::map<FileId, std::weak_ptr<T>>& map) {
  std::erase_if(map, [](auto& entry) { return entry.second.expired(); });
}

bool sane(const wire::RegionInfo& info) {
  constexpr uint64_t kLimit = uint64_t{1} << 36;
  return info.buf_size >= 64 && info.buf_headroom <= info.buf_size && info.nbufs >= 2 &&
         info.app_bytes <= info.private_bytes && info.private_bytes < kLimit && info.exchange_bytes < kLimit;
}

}  // namespace

RegionMap::~RegionMap() {
  if (private_fd) note_internal(private_fd.get(), false);
  if (exchange_fd) note_internal(exchange_fd.get(), false);
}

Result<std::shared_ptr<RegionMap>> map_region(const wire::RegionInfo& info, int private_fd, int exchange_fd) {
  if (!sane(info)) return Error{EPROTO, "unetmapd: region with impossible numbers"};
  auto inode = inode_of(exchange_fd);
  if (!inode) return inode.error();
  Maps& all = maps();
  std::lock_guard hold(all.mutex);
  erase_expired(all.regions);
  std::shared_ptr<RegionMap> region = all.regions[*inode].lock();
  if (!region) {
    region = std::make_shared<RegionMap>();
    region->info = info;
    const uint64_t bytes = info.exchange_bytes + uint64_t{info.nbufs} * info.buf_size;
    auto exchange = info.device ? mem::Mapping::map_device(exchange_fd, bytes) : mem::Mapping::map(exchange_fd, bytes);
    if (!exchange) return exchange.error();
    region->exchange = std::move(*exchange);
    all.regions[*inode] = region;
  }
  if (private_fd >= 0 && !region->privates) {
    auto privates = mem::Mapping::map(private_fd, info.private_bytes);
    if (!privates) return privates.error();
    region->privates = std::move(*privates);
    region->private_fd = duplicate_high(private_fd);
    region->exchange_fd = duplicate_high(exchange_fd);
  }
  return region;
}

Result<std::shared_ptr<SwitchMap>> map_switch(int fd) {
  auto inode = inode_of(fd);
  if (!inode) return inode.error();
  Maps& all = maps();
  std::lock_guard hold(all.mutex);
  erase_expired(all.switches);
  std::shared_ptr<SwitchMap> sw = all.switches[*inode].lock();
  if (!sw) {
    auto memory = mem::Mapping::map(fd, sizeof(SwitchShared));
    if (!memory) return memory.error();
    sw = std::make_shared<SwitchMap>();
    sw->memory = std::move(*memory);
    all.switches[*inode] = sw;
  }
  return sw;
}

}  // namespace unetmap::client
