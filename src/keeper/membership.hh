// SPDX-License-Identifier: BSD-2-Clause
// An interface's place in its switch's table (wire/fast_table.h), for the life of this object.
#pragma once

#include <cstdint>

#include "base/result.hh"
#include "wire/fast_table.h"

namespace unetmap::keeper {

class Membership {
 public:
  Membership() = default;
  Membership(const Membership&) = delete;
  Membership& operator=(const Membership&) = delete;
  ~Membership();

  // Whether a descriptor is such a table.
  static bool fits(int table);
  // To be called when everything that frames for the interface need is in place.
  Result<void> join(int table, uint32_t member, uint32_t ifindex, uint32_t mark);

 private:
  fast_member& place();
  fast_bucket* elements_ = nullptr;
  uint32_t member_ = 0;
};

}  // namespace unetmap::keeper
