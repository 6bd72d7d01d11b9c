// SPDX-License-Identifier: BSD-2-Clause
// Four words at once, for loops that do the same to each of many and ask once whether one of four needs more. Vectors
// of the compiler's, which any processor has in some form.
#pragma once

#include <cstdint>
#include <cstring>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "base/atomic.hh"
#include "base/copy_once.hh"

namespace unetmap::lanes {

constexpr uint32_t kLanes = 4;
typedef uint32_t Four __attribute__((vector_size(16)));

inline Four load(const uint32_t* from) {
  Four lanes;
  memcpy(&lanes, from, sizeof lanes);
  return lanes;
}
inline void store(uint32_t* to, Four lanes) { memcpy(to, &lanes, sizeof lanes); }

inline Four load(const Atomic<uint32_t>* from) { return load_neighbours<Four>(from); }
inline void store(Atomic<uint32_t>* to, Four lanes) { store_neighbours(to, lanes); }

// Of four words of eight bytes.
struct Halves {
  Four low, high;
};
inline Halves load(const Atomic<uint64_t>* from) {
  const Four one = load_neighbours<Four>(from), two = load_neighbours<Four>(from + 2);
  return {__builtin_shufflevector(one, two, 0, 2, 4, 6), __builtin_shufflevector(one, two, 1, 3, 5, 7)};
}

// The first words of four neighbours of 16 bytes in memory that others write.
inline Four load_firsts(const void* from) {
  struct Whole {
    Four each[kLanes];
  };
  const auto [whole] = copy_once<Whole>(from);
  return __builtin_shufflevector(__builtin_shufflevector(whole[0], whole[1], 0, 4, 1, 5),
                                 __builtin_shufflevector(whole[2], whole[3], 0, 4, 1, 5), 0, 1, 4, 5);
}

constexpr Four all(uint32_t value) { return Four{value, value, value, value}; }
// value, value + 1, ...
constexpr Four counted(uint32_t value) { return all(value) + Four{0, 1, 2, 3}; }

// All bits of a lane where the number there is greater than the other, both with their signs.
inline Four above(Four a, Four b) {
  typedef int32_t Signed __attribute__((vector_size(16)));
  return Four(Signed(a) > Signed(b));
}
// A bit for each lane, of its highest.
inline uint32_t mask(Four lanes) {
#if defined(__SSE2__)
  return uint32_t(_mm_movemask_ps(__m128(lanes)));
#else
  return lanes[0] >> 31 | lanes[1] >> 31 << 1 | lanes[2] >> 31 << 2 | lanes[3] >> 31 << 3;
#endif
}
inline bool any(Four lanes) {
#if defined(__SSE2__)
  return _mm_movemask_epi8(_mm_cmpeq_epi32(__m128i(lanes), _mm_setzero_si128())) != 0xffff;
#else
  typedef uint64_t Two __attribute__((vector_size(16)));
  const Two halves = Two(lanes);
  return (halves[0] | halves[1]) != 0;
#endif
}
inline uint64_t sum(Four lanes) { return uint64_t{lanes[0]} + lanes[1] + lanes[2] + lanes[3]; }

}  // namespace unetmap::lanes
