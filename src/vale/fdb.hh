// SPDX-License-Identifier: BSD-2-Clause
// The forwarding table of a switch: address -> port, aged, shared by all senders without locks.
//
// Two-choice hashing over buckets of four entries, one cache line each. An entry is two words written independently:
// key and stamp. The stamp carries a check of the key, so that a torn pair (the key of one writer, the stamp of
// another) reads as absent, and so does what a stray write leaves behind: a garbled address would otherwise lead a
// silent host's packets astray until it ages. The VLAN of an entry is in that check, too: 0 leaves it as it is.
#pragma once

#include <bit>
#include <cstring>
#include <type_traits>

#include "base/lanes.hh"
#include "ring/layout.hh"
#include "ring/probes.hh"

namespace unetmap::vale {

inline uint64_t load_mac(const uint8_t* p) {
  uint32_t low;
  uint16_t high;
  memcpy(&low, p, 4);
  memcpy(&high, p + 4, 2);
  return uint64_t{high} << 32 | low;
}
constexpr uint64_t kBroadcastMac = 0xffffffffffffull;
// The group bit of the first byte on the wire.
constexpr bool is_multicast(uint64_t mac) { return mac & 1; }

// VLAN 0, known when this is compiled: what a switch without VLANs pays nothing for.
struct NoVlan {
  constexpr operator uint16_t() const { return 0; }
};

class Fdb {
 public:
  explicit Fdb(SwitchShared* shared) : shared_(shared) {}

  // What lookup(mac) will read is asked for.
  void ask_for(uint64_t mac) const {
    const uint64_t hash = hash_of(mac, 0);
    __builtin_prefetch(first(hash));
    __builtin_prefetch(second(hash));
  }

  // Port index that `mac` was last seen on in that VLAN, kNoPort if unknown, aged or of a port that is gone.
  template <class Vid = NoVlan>
  uint16_t lookup(uint64_t mac, uint32_t now_s, Vid vid = {}) const {
    uint64_t hash = hash_of(mac, vid);
    for (FdbBucket* bucket : {first(hash), second(hash)})
      for (uint32_t way = 0; way < FdbBucket::kWays; way++) {
        uint64_t key = bucket->key[way].load(std::memory_order_relaxed);
        if (key >> 16 != mac || key == 0) continue;
        uint16_t port = key & kPortMask;
        if (alive(key, bucket->stamp[way].load(std::memory_order_relaxed), now_s, vid)) return port;
      }
    return kNoPort;
  }

  // lookup() of `n` addresses, at most kTogether, for frames that go to many: what it waits for, it waits for once.
  static constexpr uint32_t kTogether = 32;
  [[gnu::noinline]] void look_up(const uint64_t* macs, uint32_t n, uint32_t now_s, uint16_t* ports) const {
    const uint32_t oldest = shared_->fdb_age_s.load(std::memory_order_relaxed);
    const FdbBucket *ones[kTogether], *twos[kTogether];
    for (uint32_t i = 0; i < n; i++) {
      const uint64_t hash = hash_of(macs[i], 0);
      ones[i] = first(hash);
      twos[i] = second(hash);
      __builtin_prefetch(ones[i]);
      __builtin_prefetch(twos[i]);
    }
    for (uint32_t i = 0; i < n; i++) ports[i] = look_up(macs[i], *ones[i], *twos[i], now_s, oldest);
  }
  // lookup() of one of many.
  uint16_t look_up(uint64_t mac, uint32_t now_s) const {
    const uint64_t hash = hash_of(mac, 0);
    return look_up(mac, *first(hash), *second(hash), now_s, shared_->fdb_age_s.load(std::memory_order_relaxed));
  }

  template <class Vid = NoVlan>
  void learn(uint64_t mac, uint16_t port, uint32_t generation, uint32_t now_s, Vid vid = {}) {
    uint64_t key = mac << 16 | port, stamp = stamp_of(key, generation, now_s, vid), hash = hash_of(mac, vid);
    FdbBucket *one = first(hash), *two = second(hash);
    for (FdbBucket* bucket : {one, two})
      for (uint32_t way = 0; way < FdbBucket::kWays; way++) {
        uint64_t seen = bucket->key[way].load(std::memory_order_relaxed);
        if (seen >> 16 != mac || seen == 0) continue;
        if constexpr (!std::is_same_v<Vid, NoVlan>)  // the same address is another's in another VLAN
          if (vid_of(seen, bucket->stamp[way].load(std::memory_order_relaxed)) != vid) continue;
        if (seen & kPinned) [[unlikely]]
          return;
        if (bucket->stamp[way].load(std::memory_order_relaxed) != stamp)
          bucket->stamp[way].store(stamp, std::memory_order_relaxed);
        if (seen != key) {
          probe::table(probe::TableChange::kMove, mac, port, uint16_t(seen & kPortMask));
          bucket->key[way].store(key, std::memory_order_relaxed);
        }
        return;
      }
    insert<Vid>(one, two, key, stamp, now_s);
    probe::table(probe::TableChange::kLearn, mac, port, kNoPort);
  }

  // Live entries, for listings: f(mac, port, age_s, vid).
  template <class F>
  void each(uint32_t now_s, F&& f) const {
    for (uint32_t b = 0; b < kFdbBuckets; b++)
      for (uint32_t way = 0; way < FdbBucket::kWays; way++) {
        uint64_t key = shared_->fdb[b].key[way].load(std::memory_order_relaxed);
        uint64_t stamp = shared_->fdb[b].stamp[way].load(std::memory_order_relaxed);
        const uint32_t vid = key ? vid_of(key, stamp) : kNoVid;
        if (vid != kNoVid && alive(key, stamp, now_s, uint16_t(vid)))
          f(key >> 16, uint16_t(key & kPortMask), key & kPinned ? 0 : age_of(stamp, now_s), uint16_t(vid));
      }
  }

  // The daemon's: `mac` is behind that port whatever comes from where, as long as the port lives.
  void pin(uint64_t mac, uint16_t port, uint32_t generation, uint32_t now_s, uint16_t vid = 0) {
    forget(mac);
    const uint64_t key = mac << 16 | kPinned | port, hash = hash_of(mac, vid);
    insert<uint16_t>(first(hash), second(hash), key, stamp_of(key, generation, now_s, vid), now_s);
    probe::table(probe::TableChange::kPin, mac, port, kNoPort);
  }
  // What is known of `mac`, pinned or not.
  void forget(uint64_t mac) {
    forget_if([mac](uint64_t key) { return key >> 16 == mac; });
  }
  // All that was learned.
  void flush() {
    forget_if([](uint64_t key) { return !(key & kPinned); });
  }

  // Nothing, or what learn() writes. That who died was in the middle of it is all that is not, beside garbage.
  static bool makes_sense(const FdbBucket& bucket, uint32_t way, bool vlans) {
    const uint64_t key = bucket.key[way].load(std::memory_order_relaxed);
    const uint32_t vid = vid_of(key, bucket.stamp[way].load(std::memory_order_relaxed));
    return key == 0 || vid == 0 || (vlans && vid != kNoVid);
  }

 private:
  // A bit for each entry of the address that keys with it begin with.
  static uint32_t ways_of(const FdbBucket& bucket, uint64_t begin) {
    static_assert(FdbBucket::kWays == lanes::kLanes);
    const lanes::Halves keys = lanes::load(bucket.key);
    return lanes::mask((keys.high == lanes::all(uint32_t(begin >> 32))) &
                       ((keys.low & 0xffff0000) == lanes::all(uint32_t(begin))));
  }

  // lookup() without branches on which bucket and entry it is: that cannot be foreseen where frames go to many.
  uint16_t look_up(uint64_t mac, const FdbBucket& one, const FdbBucket& two, uint32_t now_s, uint32_t oldest) const {
    const uint64_t begin = mac << 16;
    const uint32_t ways = ways_of(one, begin) | ways_of(two, begin) << FdbBucket::kWays;
    const uint32_t found = uint32_t(std::countr_zero(ways | 1u << 31)), way = found % FdbBucket::kWays;
    const FdbBucket& bucket = found < FdbBucket::kWays ? one : two;
    const uint64_t key = bucket.key[way].load(std::memory_order_relaxed);
    // Else unknown, aged, or there twice; an address of zeros is as an empty entry.
    if ((ways & (ways - 1)) == 0 && key >> 16 == mac && begin != 0 &&
        alive(key, bucket.stamp[way].load(std::memory_order_relaxed), now_s, 0, oldest)) [[likely]]
      return key & kPortMask;
    return lookup(mac, now_s);
  }

  // The low half of a key: the port's index, and whether it was pinned.
  static constexpr uint64_t kPinned = 0x8000, kPortMask = 0x7fff;
  static_assert(kMaxPorts <= kPortMask + 1);

  template <class F>
  void forget_if(F&& wanted) {
    for (uint32_t b = 0; b < kFdbBuckets; b++)
      for (uint32_t way = 0; way < FdbBucket::kWays; way++) {
        const uint64_t key = shared_->fdb[b].key[way].load(std::memory_order_relaxed);
        if (!key || !wanted(key)) continue;
        shared_->fdb[b].key[way].store(0, std::memory_order_relaxed);
        probe::table(probe::TableChange::kForget, key >> 16, uint16_t(key & kPortMask), kNoPort);
      }
  }

  uint64_t hash_of(uint64_t mac, uint16_t vid) const {
    uint64_t h = ((mac | uint64_t{vid} << 48) ^ shared_->fdb_seed.load(std::memory_order_relaxed)) * 0x9E3779B97F4A7C15ull;
    return h ^ h >> 32;
  }
  FdbBucket* first(uint64_t hash) const { return &shared_->fdb[hash % kFdbBuckets]; }
  FdbBucket* second(uint64_t hash) const { return &shared_->fdb[(hash >> 24) % kFdbBuckets]; }

  static uint32_t check_of(uint64_t key) { return uint32_t((key * 0xD6E8FEB86659FD93ull) >> 48); }
  // VLANs as they are in the check: each another pattern, and 0 none.
  static constexpr uint16_t kMark = 0x9E37, kUnmark = 0x7787;
  static_assert(uint16_t(uint32_t{kMark} * kUnmark) == 1);
  static constexpr uint32_t kNoVid = 0xffff, kVids = 4096;
  static uint32_t mark_of(uint16_t vid) { return uint16_t(uint32_t{kMark} * vid); }
  // The VLAN of an entry; kNoVid where its words do not belong together.
  static uint32_t vid_of(uint64_t key, uint64_t stamp) {
    const uint32_t vid = uint16_t(kUnmark * (uint32_t(stamp) >> 16 ^ check_of(key)));
    return vid < kVids ? vid : kNoVid;
  }

  static uint64_t stamp_of(uint64_t key, uint32_t generation, uint32_t now_s, uint16_t vid) {
    return uint64_t{generation} << 32 | (check_of(key) ^ mark_of(vid)) << 16 | (now_s & 0xffff);
  }
  static uint32_t age_of(uint64_t stamp, uint32_t now_s) { return uint16_t(now_s - uint32_t(stamp)); }

  bool alive(uint64_t key, uint64_t stamp, uint32_t now_s, uint16_t vid) const {
    return alive(key, stamp, now_s, vid, shared_->fdb_age_s.load(std::memory_order_relaxed));
  }
  bool alive(uint64_t key, uint64_t stamp, uint32_t now_s, uint16_t vid, uint32_t oldest) const {
    uint16_t port = key & kPortMask;
    if (port >= kMaxPorts || (uint32_t(stamp) >> 16) != (check_of(key) ^ mark_of(vid))) return false;
    uint32_t age = age_of(stamp, now_s);
    // Just below the wrap: another processor's clock was a little ahead.
    return shared_->port[port].generation.load(std::memory_order_relaxed) == stamp >> 32 &&
           ((key & kPinned) || age <= oldest || age > 0xfff0);
  }

  // Into an empty or dead entry of the emptier bucket, else over the oldest.
  template <class Vid>
  void insert(FdbBucket* one, FdbBucket* two, uint64_t key, uint64_t stamp, uint32_t now_s) {
    FdbBucket *best_bucket = one, *buckets[2] = {one, two};
    uint32_t best_way = 0, best_age = 0, free_of[2] = {0, 0}, free_way[2] = {0, 0};
    for (int b = 0; b < 2; b++)
      for (uint32_t way = 0; way < FdbBucket::kWays; way++) {
        uint64_t other = buckets[b]->key[way].load(std::memory_order_relaxed);
        uint64_t other_stamp = buckets[b]->stamp[way].load(std::memory_order_relaxed);
        uint32_t vid = 0;
        if constexpr (!std::is_same_v<Vid, NoVlan>) vid = vid_of(other, other_stamp);
        if (other == 0 || vid == kNoVid || !alive(other, other_stamp, now_s, uint16_t(vid))) {
          free_of[b]++;
          free_way[b] = way;
        } else if (!(other & kPinned) && age_of(other_stamp, now_s) >= best_age) {
          best_age = age_of(other_stamp, now_s);
          best_bucket = buckets[b];
          best_way = way;
        }
      }
    if (free_of[0] || free_of[1]) {
      int b = free_of[0] >= free_of[1] ? 0 : 1;
      best_bucket = buckets[b];
      best_way = free_way[b];
    } else {
      const uint64_t gone = best_bucket->key[best_way].load(std::memory_order_relaxed);
      probe::table(probe::TableChange::kEvict, gone >> 16, uint16_t(gone & kPortMask), kNoPort);
    }
    best_bucket->key[best_way].store(0, std::memory_order_relaxed);
    best_bucket->stamp[best_way].store(stamp, std::memory_order_relaxed);
    best_bucket->key[best_way].store(key, std::memory_order_release);
  }

  SwitchShared* shared_;
};

}  // namespace unetmap::vale
