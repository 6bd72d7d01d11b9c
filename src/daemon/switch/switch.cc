// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/switch/switch.hh"

#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>

#include "vale/fdb.hh"
#include "vale/rules/port_rules.hh"

namespace unetmap::daemon {
namespace {

constexpr uint32_t kFdbAge_s = 300;
constexpr auto kRelaxed = std::memory_order_relaxed;

// Only where it differs, which is returned: a page that nobody used stays unallocated, a line that everybody reads
// stays shared.
template <class T>
bool put(std::atomic<T>& at, T value, std::memory_order order = kRelaxed) {
  if (at.load(kRelaxed) == value) return false;
  at.store(value, order);
  return true;
}

}  // namespace

uint32_t unguessable(uint32_t before) {
  uint32_t value = before;
  while (value == before)
    if (getrandom(&value, sizeof value, GRND_NONBLOCK) != sizeof value) value = before * 1664525 + 1013904223;
  return value;
}

Result<std::shared_ptr<Switch>> Switch::create(std::string name) {
  auto fd = mem::create("unetmap-switch", sizeof(SwitchShared));
  if (!fd) return fd.error();
  auto map = mem::Mapping::map(fd->get(), sizeof(SwitchShared));
  if (!map) return map.error();
  std::shared_ptr<Switch> out(new Switch);
  out->name_ = std::move(name);
  out->fd_ = std::move(*fd);
  out->map_ = std::move(*map);
  if (getrandom(&out->seed_, sizeof out->seed_, GRND_NONBLOCK) != sizeof out->seed_)
    out->seed_ = reinterpret_cast<uintptr_t>(out->map_.data()) * 0x9E3779B97F4A7C15ull;
  out->restore();
  return out;
}

Result<uint16_t> Switch::add(Port* port, std::string name, uint16_t rx_rings, uint32_t flags, uint16_t lowest) {
  uint32_t index = lowest;
  while (index < records_.size() && records_[index].port) index++;
  if (index >= kMaxPorts)
    return Error{ENOMEM,
                 name_ + ": it has " + std::to_string(ports_) + " ports, as many as it can; use another switch"};
  if (records_.size() <= index) records_.resize(index + 1);
  ever_used_ = std::max(ever_used_, limit());
  generation_ += generation_ == 0 ? 1 : 2;
  Record& record = records_[index];
  record = Record{};
  record.port = port;
  record.name = std::move(name);
  record.generation = generation_;
  record.rx_rings = rx_rings;
  record.flags = flags;
  ports_++;
  if (flags & kPortLossless) lossless_++;
  PortEntry& entry = shared().port[index];
  for (auto& seq : entry.tx_seq) put(seq, 0u);  // odd if the one before was killed while sending
  for (auto& counter : entry.counters) put(counter, uint64_t{0});
  for (auto& word : entry.reserved) put(word, 0u);
  write_entry(uint16_t(index));
  put(shared().port_limit, limit());
  if (flags & kPortFlood) {
    flood_.push_back(uint16_t(index));
    write_flood();
  }
  put(shared().lossless_ports, lossless_);
  bump_topology();
  return uint16_t(index);
}

void Switch::leave_flood(uint16_t index) {
  auto at = std::find(flood_.begin(), flood_.end(), index);
  *at = flood_.back();
  flood_.pop_back();
}

void Switch::set_flood(uint16_t index, bool on) {
  // One that others are mirrored to gets copies alone.
  records_[index].floods_else = on;
  on = on && !(records_[index].flags & (kPortMonitorTx | kPortMonitorRx));
  if (bool(records_[index].flags & kPortFlood) == on) return;
  if (on)
    flood_.push_back(index);
  else
    leave_flood(index);
  write_flood();
  set_flag(index, kPortFlood, on);
}

void Switch::remove(uint16_t index) {
  Record& record = records_[index];
  note_mirrors_to(index, false);
  stop_mirror(index);
  if (record.flags & kPortFlood) leave_flood(index);
  if (record.flags & kPortLossless) lossless_--;
  if (tap_ == index + 1u) put(shared().tap, tap_ = 0);
  record = Record{};
  note_rules();
  ports_--;
  write_entry(index);
  write_flood();
  while (!records_.empty() && !records_.back().port) records_.pop_back();
  put(shared().port_limit, limit());
  put(shared().lossless_ports, lossless_);
  bump_topology();
}

void Switch::set_header_len(uint16_t index, uint16_t header_len) {
  records_[index].header_len = header_len;
  write_entry(index);
  bump_topology();
}

void Switch::set_group(uint16_t index, uint32_t group) {
  records_[index].group = group;
  write_entry(index);
  bump_topology();
}

void Switch::set_fence(uint16_t index, const vale::FenceRules& fence) {
  records_[index].fence = fence;
  write_entry(index);
  set_flag(index, kPortFenced, fence.any());
}

void Switch::set_flag(uint16_t index, uint32_t flag, bool on) {
  Record& record = records_[index];
  uint32_t flags = on ? record.flags | flag : record.flags & ~flag;
  if (flags == record.flags) return;
  if ((flags ^ record.flags) & kPortLossless) lossless_ += on ? 1 : -1;
  record.flags = flags;
  write_entry(index);
  put(shared().lossless_ports, lossless_);
  bump_topology();
}

bool Switch::add_monitor(uint16_t index, uint16_t monitor) {
  for (uint16_t& slot : records_[index].monitors) {
    if (slot != 0) continue;
    slot = uint16_t(monitor + 1);
    write_entry(index);
    bump_topology();
    return true;
  }
  return false;
}

void Switch::set_tap(uint16_t index) {
  put(shared().tap, tap_ = index + 1u);
  bump_topology();
}

void Switch::remove_monitor(uint16_t index, uint16_t monitor) {
  for (uint16_t& slot : records_[index].monitors)
    if (slot == monitor + 1) slot = 0;
  write_entry(index);
  bump_topology();
}

// The generation last: who sees it sees the rest. That of a free entry is 0.
bool Switch::write_entry(uint16_t index) {
  const Record& record = records_[index];
  PortEntry& entry = shared().port[index];
  bool differed = false;
  if (!record.port) differed |= put(entry.generation, 0u, std::memory_order_release);
  differed |= put(entry.rx_rings, record.rx_rings);
  differed |= put(entry.header_len, record.header_len);
  differed |= put(entry.group, record.group);
  // Not touched, and so no memory, while nobody has one.
  if (record.fence.any() || entry.flags.load(std::memory_order_relaxed) & kPortFenced)
    record.fence.store(shared().fence[index]);
  if (record.rules) differed |= write_rules(index);
  differed |= put(entry.flags, record.flags);
  for (uint32_t i = 0; i < kMaxMonitors; i++) differed |= put(entry.monitors[i], record.monitors[i]);
  if (record.port) differed |= put(entry.generation, record.generation, std::memory_order_release);
  return differed;
}

bool Switch::write_flood() {
  SwitchShared& to = shared();
  bool differed = false;
  for (size_t i = 0; i < flood_.size(); i++) differed |= put(to.flood[i], flood_[i]);
  return put(to.flood_count, uint32_t(flood_.size()), std::memory_order_release) || differed;
}

void Switch::bump_topology() { shared().topology.store(topology_ = unguessable(topology_), std::memory_order_release); }

// Zeros, and gives the pages back. False if there were none.
bool Switch::empty(uint64_t from, uint64_t end) {
  off_t data = lseek(fd_.get(), off_t(from), SEEK_DATA);
  if (data < 0 || data >= off_t(end)) return false;
  return fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off_t(from), off_t(end - from)) == 0;
}

// Looks at pages that were written to alone: a look at the others would make them.
bool Switch::addresses_make_sense() const {
  const off_t begin = offsetof(SwitchShared, fdb), end = offsetof(SwitchShared, fence);
  for (off_t at = begin; (at = lseek(fd_.get(), at, SEEK_DATA)) >= 0 && at < end;) {
    off_t hole = std::min(lseek(fd_.get(), at, SEEK_HOLE), end);
    for (; at < hole; at += sizeof(FdbBucket))
      for (uint32_t way = 0; way < FdbBucket::kWays; way++)
        if (!vale::Fdb::makes_sense(shared().fdb[size_t(at - begin) / sizeof(FdbBucket)], way, had_vlans_))
          return false;
  }
  return true;
}

bool Switch::restore() {
  SwitchShared& to = shared();
  bool differed = to.topology.load(kRelaxed) != topology_;
  differed |= put(to.fdb_seed, seed_);
  differed |= put(to.fdb_age_s, kFdbAge_s);
  differed |= put(to.lossless_ports, lossless_);
  differed |= put(to.tap, tap_);
  differed |= put(to.rules, rules_);
  differed |= put(to.port_limit, limit());
  for (uint32_t i = 0; i < limit(); i++) differed |= write_entry(uint16_t(i));
  // Beyond the limit nobody looks, but a sender asks by whatever index the forwarding table names.
  constexpr uint32_t kPerPage = 4096 / sizeof(PortEntry);
  uint32_t untouched = std::min((ever_used_ + kPerPage - 1) / kPerPage * kPerPage, kMaxPorts);
  for (uint32_t i = limit(); i < untouched; i++) differed |= put(to.port[i].generation, 0u, std::memory_order_release);
  differed |= empty(offsetof(SwitchShared, port) + untouched * sizeof(PortEntry), offsetof(SwitchShared, fdb));
  differed |= write_flood();
  // Whoever wrote garbage here wrote it into packets too, and what was learned from those leads astray hosts that say
  // nothing for minutes. An address that is forgotten is flooded to.
  if (differed || !addresses_make_sense()) {
    differed = true;
    empty(offsetof(SwitchShared, fdb), offsetof(SwitchShared, fence));
  }
  bump_topology();
  return differed;
}

}  // namespace unetmap::daemon
