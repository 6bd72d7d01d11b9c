// SPDX-License-Identifier: BSD-2-Clause
// BPF programs at an interface, by links that the kernel drops with their descriptors, however their holder ends.
// Kernels before 6.6 have no such links at tc: filters on a clsact qdisc instead, taken away by the destructor - and
// left by a holder that is killed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/fd.hh"
#include "base/result.hh"

namespace unetmap::keeper {

enum class Direction { kIngress, kEgress };

class TcHooks {
 public:
  enum class Means { kBest, kFilters };
  explicit TcHooks(uint32_t ifindex, Means means = Means::kBest) : ifindex_(ifindex), means_(means) {}
  TcHooks(const TcHooks&) = delete;
  TcHooks& operator=(const TcHooks&) = delete;
  ~TcHooks();

  // Ahead of the programs that are there.
  Result<void> add(Direction direction, int program);
  // Whether nothing would be left behind by a killed process.
  bool all_links() const { return filters_.empty(); }
  // Says what would be left of them, if anything.
  void say_what_stays(const std::string& interface, std::vector<std::string>& said) const;

 private:
  Result<void> add_filter(Direction direction, int program);
  uint32_t ifindex_;
  Means means_;
  std::vector<UniqueFd> links_;
  std::vector<Direction> filters_;
  bool made_qdisc_ = false;
};

// `flags`: XDP_FLAGS_DRV_MODE or XDP_FLAGS_SKB_MODE.
Result<UniqueFd> attach_xdp(uint32_t ifindex, int program, uint32_t flags);

}  // namespace unetmap::keeper
