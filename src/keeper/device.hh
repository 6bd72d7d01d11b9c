// SPDX-License-Identifier: BSD-2-Clause
// Mode `driver`: the function behind an interface is taken from its kernel driver and driven by ours; and how it gets
// back there. docs/driver-mode.md.
#pragma once

#include "base/result.hh"
#include "keeper/held.hh"
#include "keeper/interface.hh"
#include "keeper/pci.hh"
#include "wire/keeper.hh"

namespace unetmap::keeper {

// As bind(), for NicMode::kDriver. Nothing has changed when it fails.
Result<SetUp> bind_device(const wire::BindRequest& request, const Interface& interface, int memfd);

// What a killed keeper could not: stops the device, and gives it to its kernel driver, addresses and all. `memory`:
// that of the device, whose users are told that it is not theirs any more; -1 for none.
Result<void> give_back(const wire::TakenDevice& taken, int memory);

}  // namespace unetmap::keeper
