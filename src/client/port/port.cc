// SPDX-License-Identifier: BSD-2-Clause
#include "client/port/port.hh"

#include <string>

#include "client/link/errors.hh"
#include "client/link/numbers.hh"
#include "client/link/rpc.hh"

namespace unetmap::client {

Port::~Port() {
  if (doorbell) note_internal(doorbell.get(), false);
}

bool Port::gone() const {
  if (info.nic.kind != wire::NicKind::kDriver) return false;
  const PortEntry* shown = entry();
  return !shown || (shown->flags.load(std::memory_order_relaxed) & kPortGone);
}

bool Port::failed() {
  if (info.nic.kind == wire::NicKind::kNone) return false;
  const PortEntry* shown = entry();
  bool now = !shown || (shown->flags.load(std::memory_order_relaxed) & kPortFailed);
  if (now && !failure_told_.exchange(true, std::memory_order_relaxed)) {
    auto why = ask(connection.fd(), wire::Op::kDescribe, {});
    report_error(
        why ? (std::string(info.name) + ": its interface is gone; close the descriptor and open the port again").c_str()
            : why.error().text.c_str());
  }
  if (!now) failure_told_.store(false, std::memory_order_relaxed);
  return now;
}

}  // namespace unetmap::client
