// SPDX-License-Identifier: BSD-2-Clause
// Options of netmap requests.
#pragma once

#include "daemon/port/port.hh"
#include "wire/control.hh"

namespace unetmap::daemon {

// Marks all options as not looked at, and refuses requests with one that is unknown or given twice. Options that a
// request does not look at stay marked, and do not hinder it; but for registering, where each has to be understood.
Result<void> check_options(wire::ControlRequest& request);
Result<void> all_looked_at(const wire::ControlRequest& request);

// Takes NETMAP_REQ_OPT_OFFSETS, if there is one, over into `shape`. `existing`: the port is there already, and the option
// must agree with how it was made.
Result<void> apply_offsets(wire::ControlRequest& request, PortShape& shape, uint32_t buf_size, bool existing);

// NETMAP_REQ_OPT_EXTMEM: the pools wanted in `info`, completed with defaults, as a region that fits in info.nr_memsize
// bytes of the caller's memory.
Result<RegionShape> extmem_shape(nmreq_pools_info& info);

}  // namespace unetmap::daemon
