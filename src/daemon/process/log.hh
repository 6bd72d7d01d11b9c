// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <string>

namespace unetmap::daemon {

// One line on the standard error.
void log(const std::string& text);

// A daemon without a terminal: standard error, also of the programs it starts, becomes the file, whose lines are
// stamped. One that has grown to a megabyte begins anew. False if it cannot be.
bool log_to_file(const std::string& path);
// At the end: a file without a word does not stay.
void close_log();

}  // namespace unetmap::daemon
