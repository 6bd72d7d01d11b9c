// SPDX-License-Identifier: BSD-2-Clause
// `unetmap doctor`: looks at the machine and at an interface, says what would spoil an experiment and what to do.
#pragma once

#include <string>
#include <vector>

#include "base/json.hh"
#include "doctor_checks.hh"

namespace unetmap::cli {

struct DoctorOptions {
  std::string interface;  // empty: the machine alone
  std::string record;     // of fixes; empty: FixRecord::default_file()
  bool fix = false, undo = false, json = false;
};

// The exit status: 0 unless a check fails. Prints on standard output.
int doctor(const DoctorOptions& options);

std::string checks_table(const std::vector<Check>& checks);
Json checks_json(const std::vector<Check>& checks);

}  // namespace unetmap::cli
