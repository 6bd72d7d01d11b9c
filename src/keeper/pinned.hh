// SPDX-License-Identifier: BSD-2-Clause
// Memory that a device may reach by the machine's own addresses: its pages stay where they are.
#pragma once

#include <cstdint>
#include <vector>

#include "base/fd.hh"
#include "base/result.hh"

namespace unetmap::keeper {

struct Pinned {
  UniqueFd hold;                    // as long as any copy of it is open
  std::vector<uint64_t> addresses;  // of each page of 4096 bytes
};

// `bytes` of a memfd from `offset` on, both multiples of 4096. It takes CAP_NET_RAW and CAP_SYS_ADMIN.
Result<Pinned> pin(int memfd, uint64_t offset, uint64_t bytes);

}  // namespace unetmap::keeper
