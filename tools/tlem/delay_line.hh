// SPDX-License-Identifier: BSD-2-Clause
// Packets under way: copies, each with the time when it leaves. Those in order lie in a ring of bytes, one behind the
// other; those that were held back, which are few, by themselves.
#pragma once

#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace unetmap::tlem {

class DelayLine {
 public:
  static constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();

  // Memory is used as packets come.
  explicit DelayLine(size_t capacity_bytes) : memory_(new uint8_t[capacity_bytes]), capacity_(capacity_bytes) {}

  // Room for a packet that leaves at that time; an empty span where there is none. In order: no earlier than the one
  // before.
  std::span<uint8_t> add(uint64_t leaves_ns, size_t bytes);
  std::span<uint8_t> add_held(uint64_t leaves_ns, size_t bytes);

  // When the next one leaves; kNever while there is none.
  uint64_t next_ns() const;
  // The next one; there must be one. Valid until take().
  std::span<const uint8_t> front() const;
  void take();

  size_t packets() const { return order_.size() + held_.size(); }

 private:
  struct Entry {
    uint64_t leaves_ns;
    size_t at;  // where in memory_
    size_t bytes;
    size_t skipped;  // at the end of memory_, before it
  };
  bool held_is_next() const;

  std::unique_ptr<uint8_t[]> memory_;
  size_t capacity_, head_ = 0, used_ = 0;
  std::deque<Entry> order_;
  std::multimap<uint64_t, std::vector<uint8_t>> held_;
  size_t held_bytes_ = 0;
};

}  // namespace unetmap::tlem
