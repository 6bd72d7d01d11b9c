// SPDX-License-Identifier: BSD-2-Clause
#include "client/kloop.hh"

namespace unetmap::client {

int kloop_request(Descriptor&, wire::ControlRequest&, const std::vector<nmreq_option*>&) {
  errno = EOPNOTSUPP;
  return -1;
}

int enable_csb(Descriptor&, std::span<const uint8_t>) { return EOPNOTSUPP; }

}  // namespace unetmap::client
