// SPDX-License-Identifier: BSD-2-Clause
// In the place of src/guest/words.hh: the same interface over the model checker, of what its code calls.
#pragma once

#include <cstdint>
#include <cstring>

#include "engine.hh"

namespace unetmap {

template <class T>
T load_once(const uint8_t* at, model::Here here = model::Here::current()) {
  // The second half of a descriptor, whose words are also accessed by themselves: as torn as it may be.
  if constexpr (sizeof(T) == 8)
    if (reinterpret_cast<uintptr_t>(at) % 16 == 8)
      return T(model::load(at, 4, std::memory_order_relaxed, here)) |
             T(model::load(at + 4, 2, std::memory_order_relaxed, here)) << 32 |
             T(model::load(at + 6, 2, std::memory_order_relaxed, here)) << 48;
  return T(model::load(at, sizeof(T), std::memory_order_relaxed, here));
}
inline uint16_t load_acquire16(const uint8_t* at, model::Here here = model::Here::current()) {
  return uint16_t(model::load(at, 2, std::memory_order_acquire, here));
}
inline void store_release16(uint8_t* at, uint16_t value, model::Here here = model::Here::current()) {
  model::store(at, 2, value, std::memory_order_release, here);
}
inline void store_relaxed16(uint8_t* at, uint16_t value, model::Here here = model::Here::current()) {
  model::store(at, 2, value, std::memory_order_relaxed, here);
}
inline void store_relaxed32(uint8_t* at, uint32_t value, model::Here here = model::Here::current()) {
  model::store(at, 4, value, std::memory_order_relaxed, here);
}

}  // namespace unetmap
