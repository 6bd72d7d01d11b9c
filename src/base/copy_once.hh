// SPDX-License-Identifier: BSD-2-Clause
// A copy of what others may write meanwhile. Of plain memory the compiler may look at the original again where the copy is used, and
// see something else than what was checked; of this it may not.
#pragma once

#include <atomic>
#include <cstring>
#include <type_traits>

namespace unetmap {

template <class T>
T copy_once(const void* from) noexcept {
  static_assert(std::is_trivially_copyable_v<T>);
  T copy;
  std::memcpy(&copy, from, sizeof copy);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  return copy;
}

}  // namespace unetmap
