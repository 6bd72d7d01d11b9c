// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include "base/result.hh"
#include "daemon/inventory/files.hh"
#include "daemon/setting/pins.hh"
#include "daemon/switch/settings.hh"

namespace unetmap::daemon {

// Makes them the port's.
Result<void> apply_settings(const PortSettings& settings, Port& port, Pins& pins, const Files& files);

}  // namespace unetmap::daemon
