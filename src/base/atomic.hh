// SPDX-License-Identifier: BSD-2-Clause
// The atomics of the hand-over between processes, under one name: tests/model compiles the code that uses it against a file of
// its own in this one's place, whose operations a model checker sees.
#pragma once

#include <atomic>

namespace unetmap {

template <class T>
using Atomic = std::atomic<T>;

inline void full_fence() noexcept { std::atomic_thread_fence(std::memory_order_seq_cst); }

}  // namespace unetmap
