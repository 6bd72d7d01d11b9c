// SPDX-License-Identifier: BSD-2-Clause
// An access list: rules that allow or deny, the first whose expression takes a frame decides. What none takes is denied
// where the list allows anything, else allowed.
//
// A list remembers, of some frames that it decided on, which bytes that depended on: frames that agree in these have
// the same verdict, and no program runs.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "vale/rules/filter_program.hh"

namespace unetmap::vale {

struct AclRule {
  bool deny = false;
  std::vector<FilterInstruction> program;  // empty: takes every frame
};

class Acl {
 public:
  static constexpr uint32_t kLooksAt = 256;  // bytes of a frame that lies in several slots
  static constexpr size_t kMostRules = 64;

  Acl() = default;
  explicit Acl(std::vector<AclRule> rules);
  // One that allows nothing: in place of what cannot be read.
  static Acl nothing() {
    std::vector<AclRule> rules(1);
    rules[0].deny = true;
    return Acl(std::move(rules));
  }

  // As words of shared memory, and back; nullopt for what is none.
  std::vector<uint64_t> words() const;
  static std::optional<Acl> from_words(std::span<const uint64_t> words);

  // What a verdict depended on: bytes of a frame, and their values.
  struct Known {
    using Lane [[gnu::vector_size(16)]] = uint64_t;
    Lane mask[4] = {}, value[4] = {};
    uint32_t end = UINT32_MAX;  // what a frame has to have; none has as much as an empty place asks for
    bool allowed = false;

    // `start`: LookedAt::kBytes that can be read, `have` of them the frame's.
    bool covers(const uint8_t* start, uint32_t have) const {
      Lane differ{};
      for (int i = 0; i < 4; i++) {
        Lane part;
        __builtin_memcpy(&part, start + 16 * i, sizeof part);
        differ |= (part ^ value[i]) & mask[i];
      }
      return have >= end && (differ[0] | differ[1]) == 0;
    }
    // Both, of which one packet is an instance; none, where it has changed in between.
    void join(const Known& other) {
      Lane differ{};
      for (int i = 0; i < 4; i++) {
        differ |= (value[i] ^ other.value[i]) & mask[i] & other.mask[i];
        mask[i] |= other.mask[i];
        value[i] |= other.value[i];
      }
      end = (differ[0] | differ[1]) != 0 ? UINT32_MAX : end > other.end ? end : other.end;
    }
  };

  bool empty() const { return rules_.empty(); }
  // What the last verdict depended on; nullptr where that was more than can be remembered.
  const Known* last() const { return last_; }
  // Of a frame of `bytes` bytes that begins with `start`; `readable` bytes there are memory, whatever they hold.
  bool allows(std::span<const uint8_t> start, uint32_t bytes, uint32_t readable) {
    if (readable >= LookedAt::kBytes) [[likely]]
      for (const Known& known : known_)
        if (known.covers(start.data(), uint32_t(start.size()))) {
          last_ = &known;
          return known.allowed;
        }
    return decide(start, bytes, readable);
  }

 private:
  static constexpr uint32_t kKnown = 4;
  bool decide(std::span<const uint8_t> start, uint32_t bytes, uint32_t readable);
  bool judge(std::span<const uint8_t> start, uint32_t bytes, LookedAt& looked) const;

  struct Rule {
    bool deny;
    std::optional<FilterProgram> program;
  };
  std::vector<Rule> rules_;
  bool allows_else_ = true;
  Known known_[kKnown];
  uint32_t next_ = 0;
  const Known* last_ = nullptr;
};

}  // namespace unetmap::vale
