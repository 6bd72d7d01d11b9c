// SPDX-License-Identifier: BSD-2-Clause
// Latencies in nanoseconds, kept as counts in buckets at most 1/64 of their value wide. Recording never allocates.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace unetmap::pktgen {

class Histogram {
 public:
  void record(uint64_t ns) {
    count_++;
    sum_ += ns;
    if (ns < min_) min_ = ns;
    if (ns > max_) max_ = ns;
    buckets_[bucket_of(ns)]++;
  }
  void merge(const Histogram& other);
  void clear() { *this = Histogram(); }

  uint64_t count() const { return count_; }
  uint64_t min() const { return count_ ? min_ : 0; }
  uint64_t max() const { return max_; }
  double average() const { return count_ ? double(sum_) / double(count_) : 0; }
  // The smallest recorded value, up to bucket width, that at least `percent` of all values do not exceed.
  uint64_t percentile(double percent) const;

  // Calls visit(lower bound, upper bound inclusive, count) for every power of two that was met, smallest first.
  template <class Visit>
  void for_each_octave(Visit visit) const {
    for (unsigned octave = 0; octave <= kMaxOctave; octave++) {
      uint64_t low = octave == 0 ? 0 : uint64_t{1} << octave;
      uint64_t high = (uint64_t{1} << (octave + 1)) - 1;
      uint64_t total = 0;
      for (unsigned i = bucket_of(low); i <= bucket_of(high); i++) total += buckets_[i];
      if (total) visit(low, high, total);
    }
  }

 private:
  static constexpr unsigned kSubBits = 6;
  static constexpr unsigned kSub = 1u << kSubBits;
  static constexpr unsigned kMaxOctave = 39;  // 2^40 ns, 18 minutes; longer ones count as that
  static constexpr unsigned kBuckets = kSub + (kMaxOctave - kSubBits + 1) * kSub;

  // Below kSub a bucket a value; above, kSub buckets for each power of two.
  static constexpr unsigned bucket_of(uint64_t ns) {
    if (ns < kSub) return unsigned(ns);
    unsigned octave = unsigned(std::bit_width(ns)) - 1;
    if (octave > kMaxOctave) return kBuckets - 1;
    unsigned sub = unsigned(ns >> (octave - kSubBits)) & (kSub - 1);
    return kSub + (octave - kSubBits) * kSub + sub;
  }
  static uint64_t upper_bound(unsigned bucket);

  uint64_t count_ = 0;
  uint64_t sum_ = 0;
  uint64_t min_ = UINT64_MAX;
  uint64_t max_ = 0;
  std::array<uint64_t, kBuckets> buckets_{};
};

}  // namespace unetmap::pktgen
