// SPDX-License-Identifier: BSD-2-Clause
// Mutants of the code under test: one memory order weaker, or one fence less.
#pragma once

#include "engine.hh"

namespace unetmap::model {

// Prints which of them are caught, and by what. Returns the exit status: 1 if the unchanged code fails.
int table_of_mutants(const std::vector<Scenario>& scenarios, const Limits& limits);

}  // namespace unetmap::model
