// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/shortcuts.hh"

#include <linux/bpf.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <vector>

#include "vale/fdb.hh"

namespace unetmap::daemon {
namespace {

constexpr int64_t kLook_ms = 200;
constexpr size_t kTableBytes = (FAST_BUCKETS + FAST_MEMBERS) * sizeof(fast_bucket);
static_assert(sizeof(fast_bucket) == 64 && sizeof(fast_member) == 64);

uint32_t now_s() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return uint32_t(now.tv_sec);
}

fast_member& member_at(fast_bucket* buckets, uint32_t member) {
  return *reinterpret_cast<fast_member*>(buckets + FAST_BUCKETS + member);
}

}  // namespace

Result<std::unique_ptr<ShortcutTable>> ShortcutTable::create() {
  union bpf_attr how {};
  how.map_type = BPF_MAP_TYPE_ARRAY;
  how.key_size = sizeof(uint32_t);
  how.value_size = sizeof(fast_bucket);
  how.max_entries = FAST_BUCKETS + FAST_MEMBERS;
  how.map_flags = BPF_F_MMAPABLE;
  memcpy(how.map_name, "unetmap_fast", sizeof "unetmap_fast");
  auto out = std::unique_ptr<ShortcutTable>(new ShortcutTable);
  out->fd_ = UniqueFd(int(syscall(SYS_bpf, BPF_MAP_CREATE, &how, sizeof how)));
  if (!out->fd_) return Error::from_errno(errno, "table of shortcuts");
  void* at = mmap(nullptr, kTableBytes, PROT_READ | PROT_WRITE, MAP_SHARED, out->fd_.get(), 0);
  if (at == MAP_FAILED) return Error::from_errno(errno, "table of shortcuts");
  out->buckets_ = static_cast<fast_bucket*>(at);
  out->port_.fill(kNone);
  return out;
}

ShortcutTable::~ShortcutTable() {
  if (buckets_) munmap(buckets_, kTableBytes);
}

std::optional<uint32_t> ShortcutTable::reserve() {
  auto free = std::find(port_.begin(), port_.end(), kNone);
  if (free == port_.end()) return {};
  *free = kReserved;
  reserved_++;
  return uint32_t(free - port_.begin());
}

void ShortcutTable::join(uint32_t member, uint16_t index) {
  if (port_[member] != kReserved) return;
  port_[member] = index;
  joined_++;
}

// The keeper's own work, which one that was killed has not done. Stations of it may stay until the next look: they lead
// to nobody.
void ShortcutTable::leave(uint32_t member) {
  if (port_[member] == kNone) return;
  if (port_[member] != kReserved) joined_--;
  port_[member] = kNone;
  reserved_--;
  __atomic_store_n(&member_at(buckets_, member).ifindex, 0, __ATOMIC_RELEASE);
}

fast_member ShortcutTable::counters(uint32_t member) const { return member_at(buckets_, member); }

void ShortcutTable::follow(const Switch& sw) {
  std::map<uint16_t, uint32_t> members;  // of ports whose frames need not pass the switch
  for (uint32_t member = 0; member < FAST_MEMBERS; member++) {
    const Switch::Record* record = sw.find(port_[member]);
    if (!record) continue;
    bool watched =
        std::any_of(std::begin(record->monitors), std::end(record->monitors), [](uint16_t m) { return m != 0; });
    if (!watched) members[port_[member]] = member;
  }
  std::vector<fast_bucket> wanted(FAST_BUCKETS);
  std::vector<uint8_t> ways(FAST_BUCKETS);
  if (members.size() > 1)
    vale::Fdb(&sw.shared()).each(now_s(), [&](uint64_t mac, uint16_t port, uint32_t) {
      auto found = members.find(port);
      if (found == members.end() || vale::is_multicast(mac)) return;
      uint32_t bucket = fast_bucket_of(mac);
      // A full bucket: this station's frames go by the switch.
      if (ways[bucket] < FAST_WAYS) wanted[bucket].station[ways[bucket]++] = mac << 16 | (found->second + 1);
    });
  for (uint32_t bucket = 0; bucket < FAST_BUCKETS; bucket++)
    for (uint32_t way = 0; way < FAST_WAYS; way++) {
      __u64* station = &buckets_[bucket].station[way];
      if (__atomic_load_n(station, __ATOMIC_RELAXED) != wanted[bucket].station[way])
        __atomic_store_n(station, wanted[bucket].station[way], __ATOMIC_RELAXED);
    }
}

Shortcuts::~Shortcuts() {
  if (timer_) loop_.cancel(timer_);
}

std::optional<Shortcuts::Place> Shortcuts::reserve(const std::string& name_space, const std::string& name) {
  std::string key = name + "@" + name_space;
  auto found = tables_.find(key);
  if (found == tables_.end()) {
    auto made = ShortcutTable::create();
    if (!made) return {};
    found = tables_.emplace(key, Entry{std::move(*made), {}}).first;
  }
  auto member = found->second.table->reserve();
  if (!member) return {};
  return Place{key, *member};
}

void Shortcuts::join(const Place& place, std::shared_ptr<Switch> sw, uint16_t index) {
  Entry& entry = tables_.at(place.table);
  entry.sw = sw;
  entry.table->join(place.member, index);
  look_again();
}

void Shortcuts::leave(const Place& place) {
  auto found = tables_.find(place.table);
  if (found == tables_.end()) return;
  found->second.table->leave(place.member);
  if (auto sw = found->second.sw.lock()) found->second.table->follow(*sw);
  if (found->second.table->empty()) tables_.erase(found);
}

void Shortcuts::look() {
  for (auto& [key, entry] : tables_)
    if (auto sw = entry.sw.lock()) entry.table->follow(*sw);
  look_again();
}

// Nothing to be done, nobody wakes.
void Shortcuts::look_again() {
  if (timer_) loop_.cancel(timer_);
  timer_ = 0;
  if (std::any_of(tables_.begin(), tables_.end(), [](const auto& each) { return each.second.table->of_use(); }))
    timer_ = loop_.after(kLook_ms, [this] {
      timer_ = 0;
      look();
    });
}

}  // namespace unetmap::daemon
