// SPDX-License-Identifier: BSD-2-Clause
// The other end of a veth pair, which may be in another network namespace.
#pragma once

#include <cstdint>
#include <string>

namespace unetmap::keeper {

// The kernel's number for the XDP program in the driver of the other end; 0 if there is none, or it is not to be seen.
uint32_t peer_program(uint32_t index);

// The name of a veth's other end; empty if that is in another network namespace, or this is no veth.
std::string peer_here(uint32_t index);

}  // namespace unetmap::keeper
