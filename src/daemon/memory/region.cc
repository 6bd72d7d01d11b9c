// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/memory/region.hh"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <memory>

#include "mem/memfd.hh"

namespace unetmap::daemon {
namespace {

constexpr uint32_t kFirstBuffer = 2;

// Zeros, and the pages in between back to the system, even while others have them mapped.
void punch(int fd, uint64_t at, uint64_t bytes) {
  if (bytes) (void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off_t(at), off_t(bytes));
}

struct Whole {
  UniqueFd fd;
  uint64_t bytes;
};

void* free_all(void* memory) {
  std::unique_ptr<Whole> whole(static_cast<Whole*>(memory));
  punch(whole->fd.get(), 0, whole->bytes);
  return nullptr;
}

// A gigabyte takes the kernel half a second: a thread is there to wait for that, and nobody else.
void free_aside(UniqueFd fd, uint64_t bytes) {
  constexpr blkcnt_t kMuch = (32 << 20) / 512;
  std::unique_ptr<Whole> whole(new Whole{std::move(fd), bytes});
  struct stat now;
  pthread_t thread;
  sigset_t all, before;
  sigfillset(&all);
  if (fstat(whole->fd.get(), &now) == 0 && now.st_blocks > kMuch) {
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const bool started = pthread_create(&thread, nullptr, free_all, whole.get()) == 0;
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (started) {
      (void)whole.release();  // the thread's
      pthread_detach(thread);
      return;
    }
  }
  free_all(whole.release());
}

Result<void> write_all(int fd, uint64_t at, const void* from, size_t bytes) {
  auto* p = static_cast<const uint8_t*>(from);
  while (bytes > 0) {
    ssize_t n = pwrite(fd, p, bytes, off_t(at));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return Error::from_errno(n < 0 ? ENOMEM : EIO, "region: no memory left for its rings");
    p += n;
    at += uint64_t(n);
    bytes -= size_t(n);
  }
  return {};
}

void read_all(int fd, uint64_t at, void* to, size_t bytes) {
  auto* p = static_cast<uint8_t*>(to);
  while (bytes > 0) {
    ssize_t n = pread(fd, p, bytes, off_t(at));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      std::fill(p, p + bytes, uint8_t{0});
      return;
    }
    p += n;
    at += uint64_t(n);
    bytes -= size_t(n);
  }
}

}  // namespace

Result<std::shared_ptr<Region>> Region::create(uint32_t id, uint32_t unique, const RegionShape& shape) {
  return with(id, unique, shape, {});
}
Result<std::shared_ptr<Region>> Region::over(uint32_t id, uint32_t unique, const RegionShape& shape, UniqueFd device) {
  return with(id, unique, shape, std::move(device));
}

Result<std::shared_ptr<Region>> Region::with(uint32_t id, uint32_t unique, const RegionShape& shape, UniqueFd device) {
  std::shared_ptr<Region> region(new Region);
  region->shape_ = shape;
  wire::RegionInfo& info = region->info_;
  info.id = id;
  info.unique = unique;
  info.nbufs = shape.nbufs;
  info.buf_size = shape.buf_size;
  info.buf_headroom = shape.buf_headroom;
  info.app_bytes = shape.app_bytes();
  info.private_bytes = info.app_bytes + round_up(shape.kring_bytes, kPageBytes);
  info.exchange_bytes = round_up(shape.exchange_bytes, kPageBytes);
  if (shape.memsize() > kMaxMemsize)
    return Error{ENOMEM,
                 "region: " + std::to_string(shape.memsize()) +
                     " bytes of rings and buffers are more than the 4 GiB that the netmap API can tell; ask for "
                     "fewer or smaller rings or fewer extra buffers"};
  auto privates = mem::create("unetmap-private", info.private_bytes);
  if (!privates) return privates.error();
  info.device = bool(device);
  if (!device) {
    auto exchange = mem::create("unetmap-exchange", region->exchange_end());
    if (!exchange) return exchange.error();
    device = std::move(*exchange);
  }
  region->private_ = std::move(*privates);
  region->exchange_ = std::move(device);
  region->areas_[kApp] = mem::Extents(0, info.app_bytes);
  region->areas_[kKrings] = mem::Extents(info.app_bytes, info.private_bytes);
  region->areas_[kExchanges] = mem::Extents(0, info.device ? 0 : info.exchange_bytes);
  // With a headroom the last buffer would reach behind the memory.
  uint32_t end = info.nbufs - (info.buf_headroom && info.nbufs ? 1 : 0);
  region->bufs_ = mem::Extents(kFirstBuffer, std::max(end, kFirstBuffer));
  return region;
}

// Those who still have it mapped keep the mapping, not the memory.
Region::~Region() {
  if (private_) clear(private_.get(), 0, info_.private_bytes);
  if (exchange_ && !left_ && !info_.device) free_aside(std::move(exchange_), exchange_end());
}

void Region::clear(int fd, uint64_t at, uint64_t bytes) const {
  if (!left_ && !(info_.device && fd == exchange_.get())) punch(fd, at, bytes);
}

nmreq_pools_info Region::pools_info(const RegionShape& shape, uint16_t id) {
  nmreq_pools_info out{};
  out.nr_memsize = shape.memsize();
  out.nr_mem_id = id;
  out.nr_if_pool_offset = 0;
  out.nr_if_pool_objtotal = shape.if_objtotal;
  out.nr_if_pool_objsize = shape.if_objsize;
  out.nr_ring_pool_offset = uint64_t{shape.if_objsize} * shape.if_objtotal;
  out.nr_ring_pool_objtotal = shape.ring_objtotal;
  out.nr_ring_pool_objsize = shape.ring_objsize;
  out.nr_buf_pool_offset = shape.app_bytes() + shape.buf_headroom;
  out.nr_buf_pool_objtotal = shape.nbufs;
  out.nr_buf_pool_objsize = shape.buf_size;
  return out;
}

std::optional<uint64_t> Region::take(Area area, uint64_t bytes) {
  uint64_t align = area == kExchanges ? kPageBytes : 128;
  auto at = areas_[area].take(round_up(bytes, align), align);
  // A sender that has not noticed yet that its destination is gone may have written here after give().
  if (at) clear(fd_of(area), *at, round_up(bytes, align));
  return at;
}

void Region::give(Area area, uint64_t at, uint64_t bytes) {
  bytes = round_up(bytes, area == kExchanges ? kPageBytes : 128);
  if (areas_[area].give(at, bytes)) clear(fd_of(area), at, bytes);
}

// Pages of a UMEM stay: others would take their place here, and not where the kernel has them pinned.
void Region::clear_buffers(uint32_t first, uint32_t count) const {
  if (!info_.buf_headroom) clear(exchange_.get(), buffer_at(first), uint64_t{info_.buf_size} * count);
}

uint32_t Region::take_buffers(uint32_t count) {
  auto at = bufs_.take(count);
  return at ? uint32_t(*at) : 0;
}

bool Region::give_buffer(uint32_t index) {
  if (!bufs_.give(index, 1)) return false;
  clear_buffers(index, 1);
  return true;
}

void Region::give_buffers(std::vector<uint32_t>& indices) {
  std::sort(indices.begin(), indices.end());
  indices.erase(std::unique(indices.begin(), indices.end()), indices.end());
  // Runs at a time: a system call each.
  for (size_t i = 0; i < indices.size();) {
    size_t end = i;
    while (end < indices.size() && indices[end] == indices[i] + (end - i) && bufs_.give(indices[end], 1)) end++;
    if (end == i)
      i++;  // not one of ours
    else {
      clear_buffers(indices[i], uint32_t(end - i));
      i = end;
    }
  }
}

Result<void> Region::write_private(uint64_t at, const void* from, size_t bytes) const {
  return write_all(private_.get(), at, from, bytes);
}
// The memory of a device is no file to read and write: it is mapped for as long as that takes.
Result<void> Region::write_exchange(uint64_t at, const void* from, size_t bytes) const {
  if (!info_.device) return write_all(exchange_.get(), at, from, bytes);
  auto mapping = mem::Mapping::map_device(exchange_.get(), exchange_end());
  if (!mapping) return mapping.error();
  if (at > mapping->size() || bytes > mapping->size() - at) return Error{EINVAL, "region: outside of its buffers"};
  memcpy(mapping->data() + at, from, bytes);
  return {};
}
void Region::read_private(uint64_t at, void* to, size_t bytes) const { read_all(private_.get(), at, to, bytes); }
void Region::read_exchange(uint64_t at, void* to, size_t bytes) const {
  if (!info_.device) return read_all(exchange_.get(), at, to, bytes);
  auto mapping = mem::Mapping::map_device(exchange_.get(), exchange_end());
  if (mapping && at <= mapping->size() && bytes <= mapping->size() - at)
    memcpy(to, mapping->data() + at, bytes);
  else
    memset(to, 0, bytes);
}

}  // namespace unetmap::daemon
