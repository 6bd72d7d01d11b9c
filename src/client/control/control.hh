// SPDX-License-Identifier: BSD-2-Clause
// Parts of the ioctl handling.
#pragma once

#include "client/descriptor/descriptor.hh"
#include "net/netmap.h"
#include "wire/control.hh"

namespace unetmap::client {

// NIOCCTRL on a header in the application's memory: 0, or -1 with errno.
int control_request(Descriptor& d, nmreq_header& header);

// NIOCREGIF (all its nr_cmd) and NIOCGINFO, in terms of control_request().
int legacy_register(Descriptor& d, nmreq& request);
int legacy_info(Descriptor& d, nmreq& request);

// NETMAP_REQ_OPT_EXTMEM: puts the region in the place of the application's memory. An errno value, 0 if fine.
int map_external(Descriptor& d, const wire::ControlRequest& reply);

}  // namespace unetmap::client
