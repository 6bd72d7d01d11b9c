// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/port/memory.hh"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <numeric>
#include <unordered_set>

#include "ring/extra_run.hh"
#include "vale/exchange.hh"
#include "vale/receive.hh"
#include "wire/keeper.hh"

namespace unetmap::daemon {
namespace {

constexpr uint32_t kPipePairs = 8;      // that a private region has room for
constexpr uint32_t kSpareBufs = 1024;
constexpr uint32_t kFilesPerRegion = 512;
constexpr uint64_t kIfAlign = 128;

// The application's headers declare what the service writes as const; here we are the service.
template <class T, class V>
void put(const T& field, V value) {
  const_cast<T&>(field) = T(value);
}

// As upstream: in a netmap_if each direction has at least one host ring, whose offset is 0 if there is none.
uint32_t told_host_rings(uint32_t host_rings) { return std::max(host_rings, 1u); }
uint64_t if_bytes(uint32_t rings) { return round_up(sizeof(netmap_if) + sizeof(ssize_t) * (rings + 2), kIfAlign); }
uint64_t rx_state_bytes(uint32_t slots) { return round_up(uint64_t{8} * slots, 128); }
uint64_t nic_state_bytes(uint32_t slots) { return sizeof(NicState) + round_up(uint64_t{4} * slots, 128); }

uint32_t rings_of(const PortShape& s) { return uint32_t{s.tx_rings} + s.rx_rings; }
uint64_t buffers_of(const PortShape& s) {
  return uint64_t{s.tx_rings} * s.tx_slots + uint64_t{s.rx_rings} * s.rx_slots;
}

// Receive rings of pipes have no buffers of their own: join_pipe_rings().
bool of_pipe(const PortShape& s) { return !s.exchange && !s.nic; }

// The image of one ring with buffers from `first_buf` on; 0: without buffers.
std::vector<uint8_t> ring_image(const Region& region, const PortShape& shape, uint64_t at, uint32_t slots,
                                uint16_t ring_id, bool rx, uint32_t first_buf) {
  std::vector<uint8_t> bytes(sizeof(netmap_ring) + sizeof(netmap_slot) * slots);
  alignas(netmap_ring) uint8_t head[sizeof(netmap_ring)] = {};
  auto& ring = *reinterpret_cast<netmap_ring*>(head);
  put(ring.buf_ofs, int64_t(region.info().app_bytes + region.info().buf_headroom - at));
  put(ring.num_slots, slots);
  put(ring.nr_buf_size, region.info().buf_size);
  put(ring.ringid, ring_id);
  put(ring.dir, rx ? 1 : 0);
  ring.tail = rx ? 0 : slots - 1;
  put(ring.offset_mask, shape.offset_mask);
  put(ring.buf_align, shape.buf_align);
  memcpy(bytes.data(), head, sizeof head);
  auto* slot = reinterpret_cast<netmap_slot*>(bytes.data() + sizeof(netmap_ring));
  for (uint32_t i = 0; i < slots; i++) {
    slot[i].buf_idx = first_buf ? first_buf + i : 0;
    slot[i].ptr = shape.initial_offset;
  }
  return bytes;
}

struct Side {
  bool rx;
  uint16_t rings;
  uint32_t slots;
  uint64_t ring_ofs, ring_stride;
};
Side side_of(const wire::PortInfo& p, bool rx) {
  if (rx) return {true, p.rx_rings, p.rx_slots, p.rx_ring_ofs, p.rx_ring_stride};
  return {false, p.tx_rings, p.tx_slots, p.tx_ring_ofs, p.tx_ring_stride};
}

// Takes the areas of a port one by one; what was taken goes back unless kept.
class Placement {
 public:
  explicit Placement(Region& region) : region_(region) {}
  ~Placement() {
    if (kept_) return;
    for (const Part& p : parts_) region_.give(p.area, p.at, p.bytes);
    region_.give_buffers(bufs_);
  }
  bool take(Region::Area area, uint64_t bytes, uint64_t& at) {
    at = 0;
    if (bytes == 0) return true;
    auto got = region_.take(area, bytes);
    if (!got) return false;
    parts_.push_back({area, *got, bytes});
    at = *got;
    return true;
  }
  bool take_buffers(uint64_t count, uint32_t& first) {
    first = 0;
    if (count == 0) return true;
    if (count > region_.free_buffers()) return false;
    first = region_.take_buffers(uint32_t(count));
    for (uint64_t i = 0; first && i < count; i++) bufs_.push_back(uint32_t(first + i));
    return first != 0;
  }
  void keep() { kept_ = true; }

 private:
  struct Part {
    Region::Area area;
    uint64_t at, bytes;
  };
  Region& region_;
  std::vector<Part> parts_;
  std::vector<uint32_t> bufs_;
  bool kept_ = false;
};

Error no_room(const Region& region, const std::string& name, const char* what) {
  return {ENOMEM, name + ": no room for its " + what + " in memory region " + std::to_string(region.info().id) +
                      "; ask for fewer or smaller rings, or give it a region of its own"};
}

Result<void> write_rings(Region& region, const PortShape& shape, const wire::PortInfo& info, uint32_t tx_buf) {
  for (bool rx : {false, true}) {
    Side side = side_of(info, rx);
    for (uint16_t i = 0; i < side.rings; i++) {
      uint64_t at = side.ring_ofs + i * side.ring_stride;
      uint32_t buf = (rx ? info.rx_base_buf : tx_buf) + i * side.slots;
      std::vector<uint8_t> image = ring_image(region, shape, at, side.slots, i, rx, rx && of_pipe(shape) ? 0 : buf);
      if (auto written = region.write_private(at, image.data(), image.size()); !written) return written.error();
      if (rx) continue;  // an RxKring begins as zeros
      uint32_t hwcur_hwtail[2] = {0, side.slots - 1};
      static_assert(offsetof(TxKring, hwtail) == offsetof(TxKring, hwcur) + 4);
      uint64_t kring = info.tx_kring_ofs + i * sizeof(TxKring) + offsetof(TxKring, hwcur);
      if (auto written = region.write_private(kring, hwcur_hwtail, sizeof hwcur_hwtail); !written) return written.error();
    }
  }
  return {};
}

using BufferSet = std::unordered_set<uint32_t>;

// Buffers that senders have put into the cells of a ring that exchanges them: those of one that died may be in no place
// else.
void collect_named(const Region& region, const wire::PortInfo& port, uint16_t ring, std::vector<uint32_t>& out) {
  const uint32_t cells = port.rx_slots - 1, first = port.rx_base_buf + ring * port.rx_base_stride;
  std::vector<uint64_t> words(cells);
  region.read_exchange(port.exchange_ofs + ring * port.exchange_stride + vale::packets_at(cells), words.data(),
                       words.size() * sizeof words[0]);
  for (uint32_t cell = 0; cell < cells; cell++)
    if (uint16_t(words[cell] >> CellWord::kLengthAt) != 0) out.push_back(uint32_t(words[cell]) ^ (first + cell));
}

// Buffers in the rings of a port. Slots that show received packets name theirs; the cells that are with the senders
// have theirs in `own`. All of it was writable by the port's users: the caller checks the indices.
void collect_side(const Region& region, const wire::PortInfo& port, bool rx, std::vector<uint32_t>& out) {
  Side side = side_of(port, rx);
  std::vector<netmap_slot> slots(side.slots);
  for (uint16_t i = 0; i < side.rings; i++) {
    region.read_private(side.ring_ofs + i * side.ring_stride + sizeof(netmap_ring), slots.data(),
                        slots.size() * sizeof(netmap_slot));
    if (!rx || port.exchange_ofs + port.exchange_stride == 0) {
      for (const netmap_slot& s : slots) out.push_back(s.buf_idx);
      continue;
    }
    uint32_t cells = side.slots - 1, first = port.rx_base_buf + i * port.rx_base_stride;
    std::vector<uint32_t> state(2 * size_t{side.slots});
    region.read_private(port.rx_state_ofs + i * port.rx_state_stride, state.data(), state.size() * 4);
    const uint32_t *cell_of = state.data(), *own = state.data() + side.slots;
    uint32_t cur_tail[2];
    region.read_private(port.rx_kring_ofs + i * sizeof(RxKring) + offsetof(RxKring, hwcur), cur_tail, sizeof cur_tail);
    std::vector<bool> shown(cells);
    if (cur_tail[0] < side.slots && cur_tail[1] < side.slots)
      for (uint32_t at = cur_tail[0]; at != cur_tail[1]; at = at + 1 == side.slots ? 0 : at + 1) {
        uint32_t cell = cell_of[at] ^ at;
        if (cell >= cells || shown[cell] || !(own[cell] & vale::kInRing)) continue;
        shown[cell] = true;
        out.push_back(slots[at].buf_idx);
      }
    for (uint32_t cell = 0; cell < cells; cell++)
      if (!shown[cell]) out.push_back((own[cell] & ~vale::kInRing) ^ (first + cell));
    if (port.flags & kPortExchanges) collect_named(region, port, i, out);
    out.push_back(first + cells);  // behind the last slot at the beginning, and never used
  }
}

BufferSet buffers_in(const Region& region, const std::vector<const wire::PortInfo*>& ports) {
  std::vector<uint32_t> found;
  for (const wire::PortInfo* port : ports)
    for (bool rx : {false, true}) collect_side(region, *port, rx, found);
  return BufferSet(found.begin(), found.end());
}

}  // namespace

uint64_t ring_bytes(uint32_t slots) { return round_up(sizeof(netmap_ring) + sizeof(netmap_slot) * uint64_t{slots}, 128); }

void add_ring_state(RegionShape& region, uint32_t rings, uint32_t slots) {
  region.kring_bytes += rings * (sizeof(RxKring) + rx_state_bytes(slots));
  region.exchange_bytes += rings * round_up(vale::exchange_bytes(slots), kPageBytes);
}

RegionShape region_shape_for(const PortShape& port, uint32_t extra_bufs, uint32_t buf_size) {
  RegionShape shape;
  shape.buf_size = buf_size;
  shape.if_objsize = uint32_t(if_bytes(rings_of(port)));
  shape.if_objtotal = kFilesPerRegion;
  shape.ring_objsize = uint32_t(ring_bytes(std::max(port.tx_slots, port.rx_slots)));
  uint64_t bufs = 2 + buffers_of(port) + kSpareBufs;
  uint32_t copies = 1;  // of the port: itself, then both ends of pipes
  auto bytes = [&](uint64_t buffers, uint32_t n) {
    return uint64_t{shape.if_objsize} * kFilesPerRegion + uint64_t{shape.ring_objsize} * rings_of(port) * n +
           buffers * buf_size;
  };
  uint64_t room = bytes(bufs, 1) < kMaxMemsize ? (kMaxMemsize - bytes(bufs, 1)) / buf_size : 0;
  bufs += std::min<uint64_t>(extra_bufs, room);
  while (copies < 1 + 2 * kPipePairs && bytes(bufs + 2 * buffers_of(port), copies + 2) <= kMaxMemsize) {
    copies += 2;
    bufs += 2 * buffers_of(port);
  }
  shape.ring_objtotal = rings_of(port) * copies;
  shape.nbufs = uint32_t(std::min<uint64_t>(bufs, UINT32_MAX));
  add_ring_state(shape, shape.ring_objtotal, std::max(port.tx_slots, port.rx_slots));
  return shape;
}

RegionShape global_region_shape(uint32_t buffers) {
  constexpr uint32_t kRingAreaBytes = 64 << 20, kRings = 1024;
  RegionShape shape;
  shape.nbufs = buffers;
  shape.buf_headroom = wire::kUmemHeadroom;
  shape.if_objtotal = 1024;
  shape.ring_objtotal = kRings;
  shape.ring_objsize = (kRingAreaBytes - shape.if_objtotal * shape.if_objsize) / kRings & ~127u;
  add_ring_state(shape, kRings, shape.ring_objsize / sizeof(netmap_slot));
  return shape;
}

RegionShape exchanging_region_shape(uint32_t ports) {
  PortShape each;
  RegionShape shape;
  shape.buf_size = kPrivateBufSize;
  shape.if_objtotal = kFilesPerRegion;
  shape.ring_objtotal = ports * rings_of(each);
  shape.ring_objsize = uint32_t(ring_bytes(each.tx_slots));
  shape.nbufs = uint32_t(2 + ports * (buffers_of(each) + kSpareBufs));
  add_ring_state(shape, shape.ring_objtotal, each.rx_slots);
  return shape;
}

Result<void> place_port(Region& region, const PortShape& shape, const std::string& name, wire::PortInfo& info) {
  Placement place(region);
  info.tx_rings = shape.tx_rings;
  info.rx_rings = shape.rx_rings;
  info.host_tx_rings = shape.host_tx_rings;
  info.host_rx_rings = shape.host_rx_rings;
  info.tx_slots = shape.tx_slots;
  info.rx_slots = shape.rx_slots;
  info.tx_ring_stride = ring_bytes(shape.tx_slots);
  info.rx_ring_stride = ring_bytes(shape.rx_slots);
  info.rx_base_stride = shape.rx_slots;
  info.offset_mask = shape.offset_mask;
  if (!place.take(Region::kApp, info.tx_ring_stride * shape.tx_rings, info.tx_ring_ofs) ||
      !place.take(Region::kApp, info.rx_ring_stride * shape.rx_rings, info.rx_ring_ofs))
    return no_room(region, name, "rings");
  info.rx_state_stride = rx_state_bytes(shape.rx_slots);
  bool krings = place.take(Region::kKrings, sizeof(TxKring) * shape.tx_rings, info.tx_kring_ofs) &&
                place.take(Region::kKrings, sizeof(RxKring) * shape.rx_rings, info.rx_kring_ofs);
  if (krings && shape.exchange) {
    krings = place.take(Region::kKrings, info.rx_state_stride * shape.rx_rings, info.rx_state_ofs);
    info.exchange_stride = vale::exchange_bytes(shape.rx_slots - 1);
    krings = krings && place.take(Region::kExchanges, info.exchange_stride * shape.rx_rings, info.exchange_ofs);
  }
  if (krings && shape.nic) {
    info.rx_state_stride = nic_state_bytes(shape.tx_slots);
    krings = place.take(Region::kKrings, info.rx_state_stride * shape.rx_rings, info.rx_state_ofs);
  }
  if (!krings) return no_room(region, name, "ring state");
  uint32_t tx_buf = 0;
  if (!place.take_buffers(of_pipe(shape) ? 0 : uint64_t{shape.rx_rings} * shape.rx_slots, info.rx_base_buf) ||
      !place.take_buffers(uint64_t{shape.tx_rings} * shape.tx_slots, tx_buf))
    return no_room(region, name, "packet buffers");
  if (auto written = write_rings(region, shape, info, tx_buf); !written) return written.error();
  place.keep();
  return {};
}

Result<void> join_pipe_rings(Region& region, const wire::PortInfo& from, const wire::PortInfo& to) {
  std::vector<netmap_slot> slots(from.tx_slots);
  for (uint16_t i = 0; i < from.tx_rings && i < to.rx_rings; i++) {
    uint64_t source = from.tx_ring_ofs + i * from.tx_ring_stride + sizeof(netmap_ring);
    uint64_t target = to.rx_ring_ofs + i * to.rx_ring_stride + sizeof(netmap_ring);
    region.read_private(source, slots.data(), slots.size() * sizeof(netmap_slot));
    if (auto written = region.write_private(target, slots.data(), slots.size() * sizeof(netmap_slot)); !written)
      return written;
  }
  return {};
}

void remove_port(Region& region, const wire::PortInfo& info, const std::vector<const wire::PortInfo*>& others) {
  std::vector<uint32_t> mine;
  for (bool rx : {false, true}) collect_side(region, info, rx, mine);
  BufferSet elsewhere = buffers_in(region, others);
  std::erase_if(mine, [&](uint32_t buf) { return elsewhere.count(buf) != 0; });
  region.give_buffers(mine);
  auto give = [&](Region::Area area, uint64_t at, uint64_t bytes) {
    if (bytes) region.give(area, at, bytes);
  };
  give(Region::kApp, info.tx_ring_ofs, info.tx_ring_stride * info.tx_rings);
  give(Region::kApp, info.rx_ring_ofs, info.rx_ring_stride * info.rx_rings);
  give(Region::kKrings, info.tx_kring_ofs, sizeof(TxKring) * info.tx_rings);
  give(Region::kKrings, info.rx_kring_ofs, sizeof(RxKring) * info.rx_rings);
  if (wire::PortKind(info.kind) == wire::PortKind::kNic)
    give(Region::kKrings, info.rx_state_ofs, info.rx_state_stride * info.rx_rings);
  if (info.exchange_stride) {
    give(Region::kKrings, info.rx_state_ofs, info.rx_state_stride * info.rx_rings);
    give(Region::kExchanges, info.exchange_ofs, info.exchange_stride * info.rx_rings);
  }
}

Result<uint64_t> place_if(Region& region, const Port& port, const RingRange& tx, const RingRange& rx, uint64_t& bytes) {
  const wire::PortInfo& info = port.info;
  bytes = if_bytes(uint32_t{info.tx_rings} + info.rx_rings);
  auto at = region.take(Region::kApp, bytes);
  if (!at) return no_room(region, port.name, "netmap_if");
  std::vector<uint8_t> image(bytes);
  auto& nifp = *reinterpret_cast<netmap_if*>(image.data());
  memcpy(nifp.ni_name, port.name.data(), std::min(port.name.size(), sizeof nifp.ni_name - 1));
  put(nifp.ni_version, NETMAP_API);
  put(nifp.ni_flags, region.info().id == kGlobalRegion ? 0 : NI_PRIV_MEM);
  put(nifp.ni_tx_rings, info.tx_rings - info.host_tx_rings);
  put(nifp.ni_rx_rings, info.rx_rings - info.host_rx_rings);
  put(nifp.ni_host_tx_rings, told_host_rings(info.host_tx_rings));
  put(nifp.ni_host_rx_rings, told_host_rings(info.host_rx_rings));
  auto* ofs = reinterpret_cast<ssize_t*>(image.data() + sizeof(netmap_if));
  // A ring that this descriptor is not bound to reads as 0.
  for (uint32_t i = tx.first; i < tx.end; i++)
    ofs[i] = ssize_t(info.tx_ring_ofs + i * info.tx_ring_stride) - ssize_t(*at);
  for (uint32_t i = rx.first; i < rx.end; i++)
    ofs[nifp.ni_tx_rings + nifp.ni_host_tx_rings + i] = ssize_t(info.rx_ring_ofs + i * info.rx_ring_stride) - ssize_t(*at);
  if (auto written = region.write_private(*at, image.data(), image.size()); !written) {
    region.give(Region::kApp, *at, bytes);
    return written.error();
  }
  return *at;
}

// A word in each of half a million buffers would take this process a second, and others would wait: the library of who
// asked writes them.
uint32_t place_extra_buffers(Region& region, uint64_t if_offset, uint32_t count, std::vector<BufferRun>& runs) {
  uint32_t head = 0, got = 0;
  for (uint32_t run = count; got < count && run > 0;) {
    run = std::min(run, count - got);
    const uint32_t first = region.take_buffers(run);
    if (first == 0) {
      run /= 2;  // nowhere so many in a row
      continue;
    }
    const ExtraRun told{head, kExtraRunMagic, run, 0};
    if (!region.write_exchange(region.buffer_at(first), &told, sizeof told)) {
      std::vector<uint32_t> back(run);
      std::iota(back.begin(), back.end(), first);
      region.give_buffers(back);
      break;
    }
    runs.push_back({first, run});
    head = first;
    got += run;
  }
  uint64_t at = if_offset + offsetof(netmap_if, ni_bufs_head);
  if (got && !region.write_private(at, &head, sizeof head)) return 0;
  return got;
}

void remove_if(Region& region, uint64_t if_offset, uint64_t bytes, const std::vector<const wire::PortInfo*>& others,
               const std::vector<BufferRun>& runs) {
  uint32_t next = 0;
  region.read_private(if_offset + offsetof(netmap_if, ni_bufs_head), &next, sizeof next);
  if (next != 0) {
    BufferSet elsewhere = buffers_in(region, others), seen;
    std::vector<uint32_t> list;
    // The application wrote this list: it ends where it leaves the region, names a free buffer or comes back.
    while (next != 0 && region.buffer_taken(next) && seen.insert(next).second) {
      if (!elsewhere.count(next)) list.push_back(next);
      ExtraRun told{};
      region.read_exchange(region.buffer_at(next), &told, sizeof told);
      // Its library never came to write the list.
      if (told.magic == kExtraRunMagic &&
          std::find(runs.begin(), runs.end(), BufferRun{next, told.count}) != runs.end())
        for (uint32_t i = 1; i < told.count; i++)
          if (!elsewhere.count(next + i) && seen.insert(next + i).second) list.push_back(next + i);
      next = told.next;
    }
    region.give_buffers(list);
  }
  region.give(Region::kApp, if_offset, bytes);
}

}  // namespace unetmap::daemon
