// SPDX-License-Identifier: BSD-2-Clause
// Which parts of a range of numbers are free: first fit, neighbours joined. Knows nothing of the memory behind them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

namespace unetmap::mem {

class Extents {
 public:
  Extents() = default;
  // Everything in [begin, end) is free.
  Extents(uint64_t begin, uint64_t end) : begin_(begin), end_(end), free_total_(end > begin ? end - begin : 0) {
    if (free_total_) free_.emplace(begin, end);
  }

  // The lowest `count` free numbers in one piece, starting at a multiple of `align`.
  std::optional<uint64_t> take(uint64_t count, uint64_t align = 1);
  // Gives [at, at + count) back. False, with nothing changed, if any of it is free already or was never there.
  bool give(uint64_t at, uint64_t count);

  // True if `at` is in range and handed out.
  bool taken(uint64_t at) const;
  uint64_t free_total() const { return free_total_; }
  uint64_t end() const { return end_; }

 private:
  std::map<uint64_t, uint64_t> free_;  // begin -> end, disjoint, never adjacent
  uint64_t begin_ = 0, end_ = 0, free_total_ = 0;
};

}  // namespace unetmap::mem
