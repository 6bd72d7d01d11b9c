// SPDX-License-Identifier: BSD-2-Clause
// The kernel's table by which frames go from one attached interface of a switch straight to another
// (wire/fast_table.h): a copy of what the switch has learned, made anew several times a second while it can be of use.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/fd.hh"
#include "base/result.hh"
#include "mem/memfd.hh"
#include "wire/fast_table.h"

namespace unetmap::daemon {

class Shortcuts {
 public:
  // Fails where the kernel or our privileges give none: then all frames go by the switch.
  static Result<std::unique_ptr<Shortcuts>> create();

  int fd() const { return fd_.get(); }
  std::optional<uint32_t> take_member();
  void free_member(uint32_t member);
  uint32_t members() const;

  struct Station {
    uint64_t address;  // see vale::load_mac
    uint32_t member;
  };
  // These, and no others, from now on. What finds no place goes by the switch.
  void fill(const std::vector<Station>& stations);

  // What a keeper and its programs counted. Copied once.
  fast_member counted(uint32_t member) const;
  // Whether frames came in there past the switch since the last call.
  bool busy(uint32_t member);

  ~Shortcuts();

 private:
  static constexpr size_t kBytes = (FAST_BUCKETS + FAST_MEMBERS) * sizeof(fast_bucket);
  Shortcuts() = default;
  fast_member* place(uint32_t member) const { return reinterpret_cast<fast_member*>(buckets_ + FAST_BUCKETS) + member; }

  UniqueFd fd_;
  fast_bucket* buckets_ = nullptr;
  bool taken_[FAST_MEMBERS] = {};
  uint64_t seen_[FAST_MEMBERS] = {};
};

}  // namespace unetmap::daemon
