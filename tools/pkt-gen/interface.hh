// SPDX-License-Identifier: BSD-2-Clause
// What the system knows about the network interface that a port belongs to.
#pragma once

#include "options.hh"

namespace unetmap::pktgen {

// The source MAC address to use when none is given: the interface's own, zero for ports that have none.
MacRange own_mac(const Options& options);

// Whether the interface is ready to carry packets; true when that cannot be told.
bool link_is_up(const Options& options);

// "eth0" of "netmap:eth0-1/x@2".
std::string interface_of(const std::string& device);

}  // namespace unetmap::pktgen
