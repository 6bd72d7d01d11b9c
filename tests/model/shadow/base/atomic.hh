// SPDX-License-Identifier: BSD-2-Clause
// In the place of src/base/atomic.hh: the same interface over the model checker.
#pragma once

#include <atomic>
#include <cstring>
#include <type_traits>

#include "engine.hh"

namespace unetmap {

template <class T>
class Atomic {
  static_assert(std::is_integral_v<T>);

 public:
  Atomic() noexcept = default;
  constexpr Atomic(T value) noexcept : value_(value) {}
  Atomic(const Atomic&) = delete;
  Atomic& operator=(const Atomic&) = delete;

  T load(model::Order order, model::Here here = model::Here::current()) const {
    return T(model::load(&value_, sizeof(T), order, here));
  }
  void store(T value, model::Order order, model::Here here = model::Here::current()) {
    model::store(&value_, sizeof(T), value, order, here);
  }
  T exchange(T value, model::Order order, model::Here here = model::Here::current()) {
    return T(model::update(&value_, sizeof(T), model::Update::kExchange, value, order, here));
  }
  T fetch_add(T value, model::Order order, model::Here here = model::Here::current()) {
    return T(model::update(&value_, sizeof(T), model::Update::kAdd, value, order, here));
  }
  bool compare_exchange_strong(T& expected, T desired, model::Order success, model::Order failure,
                               model::Here here = model::Here::current()) {
    uint64_t seen = expected;
    bool done = model::compare_exchange(&value_, sizeof(T), seen, desired, success, failure, here);
    expected = T(seen);
    return done;
  }
  bool compare_exchange_strong(T& expected, T desired, model::Order order, model::Here here = model::Here::current()) {
    model::Order failure = order == std::memory_order_acq_rel   ? std::memory_order_acquire
                           : order == std::memory_order_release ? std::memory_order_relaxed
                                                                : order;
    return compare_exchange_strong(expected, desired, order, failure, here);
  }
  bool compare_exchange_weak(T& expected, T desired, model::Order success, model::Order failure,
                             model::Here here = model::Here::current()) {
    return compare_exchange_strong(expected, desired, success, failure, here);
  }

 private:
  T value_;
};

template <class Value, class T>
Value load_neighbours(const Atomic<T>* from, model::Here here = model::Here::current()) {
  T words[sizeof(Value) / sizeof(T)];
  for (T& word : words) word = from[&word - words].load(std::memory_order_relaxed, here);
  Value value;
  memcpy(&value, words, sizeof value);
  return value;
}
template <class Value, class T>
void store_neighbours(Atomic<T>* to, const Value& value, model::Here here = model::Here::current()) {
  T words[sizeof(Value) / sizeof(T)];
  memcpy(words, &value, sizeof value);
  for (const T& word : words) to[&word - words].store(word, std::memory_order_relaxed, here);
}

inline void full_fence(model::Here here = model::Here::current()) { model::fence(std::memory_order_seq_cst, here); }

}  // namespace unetmap
