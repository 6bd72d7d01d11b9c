// SPDX-License-Identifier: BSD-2-Clause
// The atomics of the hand-over between processes, under one name: tests/model compiles the code that uses it against a
// file of its own in this one's place, whose operations a model checker sees.
#pragma once

#include <atomic>
#include <cstring>

#include "base/copy_once.hh"

namespace unetmap {

template <class T>
using Atomic = std::atomic<T>;

inline void full_fence() noexcept { std::atomic_thread_fence(std::memory_order_seq_cst); }

// As many neighbours as a Value holds: each whole and relaxed, in no order among them. A processor that has vectors
// takes them at once.
template <class Value, class T>
Value load_neighbours(const Atomic<T>* from) noexcept {
  static_assert(Atomic<T>::is_always_lock_free && sizeof(Atomic<T>) == sizeof(T) && sizeof(Value) % sizeof(T) == 0);
  return copy_once<Value>(from);
}
template <class Value, class T>
void store_neighbours(Atomic<T>* to, const Value& value) noexcept {
  static_assert(Atomic<T>::is_always_lock_free && sizeof(Atomic<T>) == sizeof(T) && sizeof(Value) % sizeof(T) == 0);
  memcpy(static_cast<void*>(to), &value, sizeof value);
}

}  // namespace unetmap
