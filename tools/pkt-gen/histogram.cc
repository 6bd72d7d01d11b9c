// SPDX-License-Identifier: BSD-2-Clause
#include "histogram.hh"

#include <algorithm>
#include <cmath>

namespace unetmap::pktgen {

void Histogram::merge(const Histogram& other) {
  count_ += other.count_;
  sum_ += other.sum_;
  min_ = std::min(min_, other.min_);
  max_ = std::max(max_, other.max_);
  for (unsigned i = 0; i < kBuckets; i++) buckets_[i] += other.buckets_[i];
}

uint64_t Histogram::upper_bound(unsigned bucket) {
  if (bucket < kSub) return bucket;
  unsigned octave = kSubBits + (bucket - kSub) / kSub;
  uint64_t sub = (bucket - kSub) % kSub;
  return (uint64_t{1} << octave) + ((sub + 1) << (octave - kSubBits)) - 1;
}

uint64_t Histogram::percentile(double percent) const {
  if (count_ == 0) return 0;
  uint64_t wanted = std::max<uint64_t>(1, uint64_t(std::ceil(percent / 100.0 * double(count_))));
  uint64_t seen = 0;
  for (unsigned i = 0; i < kBuckets; i++) {
    seen += buckets_[i];
    if (seen >= wanted) return std::clamp(upper_bound(i), min_, max_);
  }
  return max_;
}

}  // namespace unetmap::pktgen
