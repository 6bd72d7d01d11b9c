// SPDX-License-Identifier: BSD-2-Clause
// A classic BPF program, as libpcap compiles expressions to, on the beginning of a frame.
//
// Programs come from memory that others can write, or from other processes: valid() says whether one may be run at all.
// One that is valid ends (jumps go forward only), and touches nothing but its registers and the bytes it is given.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace unetmap::vale {

struct FilterInstruction {
  uint16_t code;
  uint8_t jt, jf;
  uint32_t k;

  // As one word: of a settings file, and in shared memory.
  static FilterInstruction unpack(uint64_t word) {
    return {uint16_t(word >> 48), uint8_t(word >> 40), uint8_t(word >> 32), uint32_t(word)};
  }
  uint64_t pack() const { return uint64_t{code} << 48 | uint64_t{jt} << 40 | uint64_t{jf} << 32 | k; }
};

// Which of a frame's first bytes runs have looked at: all else makes no difference to what came out.
struct LookedAt {
  static constexpr uint32_t kBytes = 64;
  uint64_t mask[kBytes / 8] = {};  // a byte of ones for each
  uint32_t end = 0;                // behind the last
  bool more = false;               // bytes behind those, or how long the frame is

  void note(uint32_t at, uint32_t bytes);
};

class FilterProgram {
 public:
  static constexpr size_t kMost = 4096;  // instructions
  static bool valid(std::span<const FilterInstruction> program);

  // A valid one.
  explicit FilterProgram(std::vector<FilterInstruction> program) : program_(std::move(program)) {}
  // Whether it takes a frame of `bytes` bytes that begins with `start`. What lies behind that is not there for it.
  bool passes(std::span<const uint8_t> start, uint32_t bytes, LookedAt& looked) const;
  std::span<const FilterInstruction> instructions() const { return program_; }

 private:
  std::vector<FilterInstruction> program_;
};

}  // namespace unetmap::vale
