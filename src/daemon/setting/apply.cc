// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/setting/apply.hh"

namespace unetmap::daemon {

Result<void> apply_settings(const PortSettings& settings, Port& port, Pins& pins, const Files& files) {
  if (settings.rules.any() || port.record()->rules) {
    if (auto done = port.sw->set_rules(port.info.index, settings.rules); !done) return done;
    pins.restore();  // which are of the port's VLAN
  }
  if (!port.sw->set_mirror(port.info.index, settings.mirror))
    return Error{EBUSY, port.name + ": mirror: it has as many monitors as it can; close some of them first"};
  port.sw->set_flag(port.info.index, kPortLossless, settings.lossless);
  port.sw->set_group(port.info.index, settings.group);
  port.sw->set_fence(port.info.index, settings.fence);
  if (!settings.lossless) files.wake_senders({port.unique});
  return {};
}

}  // namespace unetmap::daemon
