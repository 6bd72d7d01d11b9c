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

// TakenDevice::driver where there was none: a passed-through port's.
inline constexpr const char* kNoDriver = "none";

// As bind(), for NicMode::kDriver. Nothing has changed when it fails.
Result<SetUp> bind_device(const wire::BindRequest& request, const Interface& interface, int memfd);

// As bind_device(), for a port that the host passes through: the number of its name.
Result<SetUp> bind_passed(const wire::BindRequest& request, uint32_t number);
// Ends the session with the host, and tells the memory's users.
Result<void> end_passed(const PciFunction& function, const wire::TakenDevice& taken, int memory);

// What a killed keeper could not: stops the device, and gives it to its kernel driver, addresses and all. `memory`:
// that of the device, whose users are told that it is not theirs any more; -1 for none.
Result<void> give_back(const wire::TakenDevice& taken, int memory);

}  // namespace unetmap::keeper
