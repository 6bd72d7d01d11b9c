// SPDX-License-Identifier: BSD-2-Clause
// What programs read below /sys/module/netmap/parameters/.
#pragma once

#include <cstdint>
#include <string_view>

#include "ring/layout.hh"

namespace unetmap::shim {

struct Parameter {
  std::string_view name;
  int64_t value;
};

// Those of netmap's kernel module that have a meaning to its users, with the values that hold here. Sizes of pools are
// the module's defaults: regions grow with what is opened, and programs only check that the numbers are large enough.
inline constexpr Parameter kParameters[] = {
    {"admode", 0},
    {"bridge_batch", 1024},
    {"buf_num", 163840},
    {"buf_size", kDefaultBufSize},
    {"debug", 0},
    {"default_pipes", 0},
    {"flags", 0},
    {"fwd", 0},
    {"generic_mit", 100000},
    {"generic_rings", 1},
    {"generic_ringsize", 1024},
    {"generic_txqdisc", 1},
    {"if_num", 100},
    {"if_size", 1024},
    {"max_bridges", 256},
    {"mmap_unreg", 0},
    {"no_pendintr", 1},
    {"no_timestamp", 0},
    {"priv_buf_num", 4098},
    {"priv_buf_size", kPrivateBufSize},
    {"priv_if_num", 2},
    {"priv_if_size", 1024},
    {"priv_ring_num", 4},
    {"priv_ring_size", 20480},
    {"ptnet_vnet_hdr", 1},
    {"ring_num", 200},
    {"ring_size", 36864},
    {"txsync_retry", 2},
    {"verbose", 0},
};

constexpr const Parameter* find_parameter(std::string_view name) {
  for (const Parameter& p : kParameters)
    if (p.name == name) return &p;
  return nullptr;
}

// A descriptor to read the parameter from, as open(2) gives it: -1 with errno on failure. ENOENT for an unknown one,
// EACCES for writing: they are facts here, not settings.
int open_parameter(std::string_view name, int flags) noexcept;

}  // namespace unetmap::shim
