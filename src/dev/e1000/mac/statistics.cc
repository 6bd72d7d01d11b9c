// SPDX-License-Identifier: BSD-2-Clause
#include "dev/e1000/mac/statistics.hh"

namespace unetmap::e1000 {

uint32_t Statistics::read(uint32_t offset) noexcept {
  const unsigned index = offset / 4;
  if (index >= counts_.size()) return 0;
  // 64 bits in two registers: reading the high one clears both.
  if (is_wide(index)) return static_cast<uint32_t>(counts_[index]);
  if (index > 0 && is_wide(index - 1)) {
    const auto high = static_cast<uint32_t>(counts_[index - 1] >> 32);
    counts_[index - 1] = 0;
    return high;
  }
  const uint64_t count = counts_[index];
  counts_[index] = 0;
  return count > UINT32_MAX ? UINT32_MAX : static_cast<uint32_t>(count);
}

}  // namespace unetmap::e1000
