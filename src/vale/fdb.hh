// SPDX-License-Identifier: BSD-2-Clause
// The forwarding table of a switch: address -> port, aged, shared by all senders without locks.
//
// Two-choice hashing over buckets of four entries, one cache line each. An entry is two words written independently:
// key and stamp. The stamp carries a check of the key, so that a torn pair (the key of one writer, the stamp of
// another) reads as absent, and so does what a stray write leaves behind: a garbled address would otherwise lead a
// silent host's packets astray until it ages.
#pragma once

#include <bit>
#include <cstring>

#include "ring/layout.hh"

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

class Fdb {
 public:
  explicit Fdb(SwitchShared* shared) : shared_(shared) {}

  // Port index that `mac` was last seen on, kNoPort if unknown, aged or of a port that is gone.
  uint16_t lookup(uint64_t mac, uint32_t now_s) const {
    uint64_t hash = hash_of(mac);
    for (FdbBucket* bucket : {first(hash), second(hash)})
      for (uint32_t way = 0; way < FdbBucket::kWays; way++) {
        uint64_t key = bucket->key[way].load(std::memory_order_relaxed);
        if (key >> 16 != mac || key == 0) continue;
        uint16_t port = key & 0xffff;
        if (alive(key, bucket->stamp[way].load(std::memory_order_relaxed), now_s)) return port;
      }
    return kNoPort;
  }

  void learn(uint64_t mac, uint16_t port, uint32_t generation, uint32_t now_s) {
    uint64_t key = mac << 16 | port, stamp = stamp_of(key, generation, now_s), hash = hash_of(mac);
    FdbBucket *one = first(hash), *two = second(hash);
    for (FdbBucket* bucket : {one, two})
      for (uint32_t way = 0; way < FdbBucket::kWays; way++) {
        uint64_t seen = bucket->key[way].load(std::memory_order_relaxed);
        if (seen >> 16 != mac || seen == 0) continue;
        if (bucket->stamp[way].load(std::memory_order_relaxed) != stamp)
          bucket->stamp[way].store(stamp, std::memory_order_relaxed);
        if (seen != key) bucket->key[way].store(key, std::memory_order_relaxed);
        return;
      }
    insert(one, two, key, stamp, now_s);
  }

  // Live entries, for listings: f(mac, port, age_s).
  template <class F>
  void each(uint32_t now_s, F&& f) const {
    for (uint32_t b = 0; b < kFdbBuckets; b++)
      for (uint32_t way = 0; way < FdbBucket::kWays; way++) {
        uint64_t key = shared_->fdb[b].key[way].load(std::memory_order_relaxed);
        uint64_t stamp = shared_->fdb[b].stamp[way].load(std::memory_order_relaxed);
        if (key && alive(key, stamp, now_s)) f(key >> 16, uint16_t(key & 0xffff), age_of(stamp, now_s));
      }
  }

  // Nothing, or what learn() writes. That who died was in the middle of it is all that is not, beside garbage.
  static bool makes_sense(const FdbBucket& bucket, uint32_t way) {
    uint64_t key = bucket.key[way].load(std::memory_order_relaxed);
    return key == 0 || (uint32_t(bucket.stamp[way].load(std::memory_order_relaxed)) >> 16) == check_of(key);
  }

 private:
  uint64_t hash_of(uint64_t mac) const {
    uint64_t h = (mac ^ shared_->fdb_seed.load(std::memory_order_relaxed)) * 0x9E3779B97F4A7C15ull;
    return h ^ h >> 32;
  }
  FdbBucket* first(uint64_t hash) const { return &shared_->fdb[hash % kFdbBuckets]; }
  FdbBucket* second(uint64_t hash) const { return &shared_->fdb[(hash >> 24) % kFdbBuckets]; }

  static uint32_t check_of(uint64_t key) { return uint32_t((key * 0xD6E8FEB86659FD93ull) >> 48); }
  static uint64_t stamp_of(uint64_t key, uint32_t generation, uint32_t now_s) {
    return uint64_t{generation} << 32 | check_of(key) << 16 | (now_s & 0xffff);
  }
  static uint32_t age_of(uint64_t stamp, uint32_t now_s) { return uint16_t(now_s - uint32_t(stamp)); }

  bool alive(uint64_t key, uint64_t stamp, uint32_t now_s) const {
    uint16_t port = key & 0xffff;
    if (port >= kMaxPorts || (uint32_t(stamp) >> 16) != check_of(key)) return false;
    uint32_t age = age_of(stamp, now_s);
    // Just below the wrap: another processor's clock was a little ahead.
    return shared_->port[port].generation.load(std::memory_order_relaxed) == stamp >> 32 &&
           (age <= shared_->fdb_age_s.load(std::memory_order_relaxed) || age > 0xfff0);
  }

  // Into an empty or dead entry of the emptier bucket, else over the oldest.
  void insert(FdbBucket* one, FdbBucket* two, uint64_t key, uint64_t stamp, uint32_t now_s) {
    FdbBucket *best_bucket = one, *buckets[2] = {one, two};
    uint32_t best_way = 0, best_age = 0, free_of[2] = {0, 0}, free_way[2] = {0, 0};
    for (int b = 0; b < 2; b++)
      for (uint32_t way = 0; way < FdbBucket::kWays; way++) {
        uint64_t other = buckets[b]->key[way].load(std::memory_order_relaxed);
        uint64_t other_stamp = buckets[b]->stamp[way].load(std::memory_order_relaxed);
        if (other == 0 || !alive(other, other_stamp, now_s)) {
          free_of[b]++;
          free_way[b] = way;
        } else if (age_of(other_stamp, now_s) >= best_age) {
          best_age = age_of(other_stamp, now_s);
          best_bucket = buckets[b];
          best_way = way;
        }
      }
    if (free_of[0] || free_of[1]) {
      int b = free_of[0] >= free_of[1] ? 0 : 1;
      best_bucket = buckets[b];
      best_way = free_way[b];
    }
    best_bucket->key[best_way].store(0, std::memory_order_relaxed);
    best_bucket->stamp[best_way].store(stamp, std::memory_order_relaxed);
    best_bucket->key[best_way].store(key, std::memory_order_release);
  }

  SwitchShared* shared_;
};

}  // namespace unetmap::vale
