// SPDX-License-Identifier: BSD-2-Clause
// `unetmap complete`: what may stand at a place of a command line, for the shells' completion (packaging/completion).
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace unetmap::cli {

// Where the candidates come from.
struct CompletionSource {
  std::vector<std::string> commands;                                            // of unetmap
  std::function<std::vector<std::string>()> ports, switches, interfaces;        // there are now
  std::function<std::string(const std::vector<std::string>& command)> help_of;  // what the command prints with --help
};

// All that can stand at words[at] and begins as that does; words[0] is the program. None where files may stand, too.
std::vector<std::string> candidates(const std::vector<std::string>& words, size_t at, const CompletionSource& source);

// The options in a help text.
std::vector<std::string> options_in(const std::string& help);

// With the daemon and the programs that there are. Prints them one a line; the exit status.
int complete(const std::vector<std::string>& words, size_t at, const std::vector<std::string>& commands);

}  // namespace unetmap::cli
