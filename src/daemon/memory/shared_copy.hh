// SPDX-License-Identifier: BSD-2-Clause
// Counters in memory that others write.
#pragma once

#include <atomic>
#include <cstdint>

namespace unetmap::daemon {

// A copy of shared counters: each load may be of another moment.
template <class T>
class SharedCopy {
 public:
  const T* operator->() const { return reinterpret_cast<const T*>(bytes_); }
  const T& operator*() const { return *operator->(); }
  uint8_t* data() { return bytes_; }

 private:
  alignas(T) uint8_t bytes_[sizeof(T)] = {};
};

template <class T>
T get(const std::atomic<T>& word) {
  return word.load(std::memory_order_relaxed);
}

}  // namespace unetmap::daemon
