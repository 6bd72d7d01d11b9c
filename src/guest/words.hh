// SPDX-License-Identifier: BSD-2-Clause
// Words in memory that a guest writes while we look: little endian, loaded once, and only the copy used.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace unetmap {

// The same both ways.
template <class T>
constexpr T little_endian(T value) noexcept {
  if constexpr (std::endian::native == std::endian::little || sizeof(T) == 1) return value;
  if constexpr (sizeof(T) == 2) return __builtin_bswap16(value);
  if constexpr (sizeof(T) == 4) return __builtin_bswap32(value);
  if constexpr (sizeof(T) == 8) return __builtin_bswap64(value);
}

// At any alignment. The compiler must take `value` for unrelated to memory from here on, so it cannot load it again;
// a torn value is as good as any other a hostile guest may write. No order.
template <class T>
T load_once(const uint8_t* at) noexcept {
  T value;
  std::memcpy(&value, at, sizeof value);
  asm("" : "+r"(value));
  return little_endian(value);
}
template <class T>
void store(uint8_t* at, T value) noexcept {
  value = little_endian(value);
  std::memcpy(at, &value, sizeof value);
}

// Aligned words.
inline uint16_t load_acquire16(const uint8_t* at) noexcept {
  return little_endian(__atomic_load_n(reinterpret_cast<const uint16_t*>(at), __ATOMIC_ACQUIRE));
}
inline void store_release16(uint8_t* at, uint16_t value) noexcept {
  __atomic_store_n(reinterpret_cast<uint16_t*>(at), little_endian(value), __ATOMIC_RELEASE);
}
inline void store_relaxed16(uint8_t* at, uint16_t value) noexcept {
  __atomic_store_n(reinterpret_cast<uint16_t*>(at), little_endian(value), __ATOMIC_RELAXED);
}
inline uint32_t load_acquire32(const uint8_t* at) noexcept {
  return little_endian(__atomic_load_n(reinterpret_cast<const uint32_t*>(at), __ATOMIC_ACQUIRE));
}
inline uint32_t load_relaxed32(const uint8_t* at) noexcept {
  return little_endian(__atomic_load_n(reinterpret_cast<const uint32_t*>(at), __ATOMIC_RELAXED));
}
inline void store_release32(uint8_t* at, uint32_t value) noexcept {
  __atomic_store_n(reinterpret_cast<uint32_t*>(at), little_endian(value), __ATOMIC_RELEASE);
}
inline void store_relaxed32(uint8_t* at, uint32_t value) noexcept {
  __atomic_store_n(reinterpret_cast<uint32_t*>(at), little_endian(value), __ATOMIC_RELAXED);
}
inline void store_release64(uint8_t* at, uint64_t value) noexcept {
  __atomic_store_n(reinterpret_cast<uint64_t*>(at), little_endian(value), __ATOMIC_RELEASE);
}
inline void store_release8(uint8_t* at, uint8_t value) noexcept { __atomic_store_n(at, value, __ATOMIC_RELEASE); }
// Between publishing something and looking whether the other side sleeps: a store, then a load.
inline void full_barrier() noexcept { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

}  // namespace unetmap
