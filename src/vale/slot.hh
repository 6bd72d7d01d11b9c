// SPDX-License-Identifier: BSD-2-Clause
// A slot of a program's, who may write it at any time: looked at once.
#pragma once

#include <cstdint>

#include "base/copy_once.hh"
#include "net/netmap.h"

namespace unetmap::vale {

inline netmap_slot load_slot(const netmap_slot& from) { return copy_once<netmap_slot>(&from); }
// buf_idx | len << 32 | flags << 48
inline uint64_t load_first_half(const netmap_slot& from) {
  return __atomic_load_n(reinterpret_cast<const uint64_t*>(&from), __ATOMIC_RELAXED);
}
inline uint32_t load_buffer(const netmap_slot& from) { return __atomic_load_n(&from.buf_idx, __ATOMIC_RELAXED); }

}  // namespace unetmap::vale
