// SPDX-License-Identifier: BSD-2-Clause
// `unetmap run`: an unmodified program with the library in front of the C library's calls.
#pragma once

#include <string>
#include <vector>

#include "base/result.hh"

namespace unetmap::cli {

// LD_PRELOAD with `library` in front of what is there already; fails for a path that the loader would take apart.
Result<std::string> preload_with(const std::string& library, const char* already);

// Why the loader would not put a library in front of the program in `file` (a path): it is statically linked, or runs
// with more rights than its user. Empty when nothing speaks against it, or when it cannot be read.
std::string cannot_preload(const std::string& file);

// Where the shell would find `program`; empty if nowhere.
std::string find_program(const std::string& program, const char* path);

// Runs argv in place of this process. Returns only on failure: 126 (found, not run) or 127 (not found) as env(1) does,
// 1 when the daemon cannot be reached; says why on stderr.
int run_program(const std::vector<std::string>& argv, bool quiet);

}  // namespace unetmap::cli
