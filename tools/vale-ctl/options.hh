// SPDX-License-Identifier: BSD-2-Clause
// The command line of vale-ctl: one action, what it acts on, and what qualifies it.
#pragma once

#include <cstdint>
#include <string>

#include "config_spec.hh"

namespace valectl {

enum class Action { kList, kInfo, kAttach, kAttachHost, kDetach, kCreate, kRemove, kPollingOn, kPollingOff };

struct Options {
  Action action = Action::kList;
  std::string name;  ///< object of the action; empty lists everything
  RingSpec rings;
  PollingSpec polling;
  uint16_t mem_id = 0;   ///< 0 lets the daemon choose
  std::string mem_port;  ///< in whose region, instead of a number
  bool json = false;
  bool verbose = false;
};

enum class Parsed { kRun, kHelp, kVersion, kUsageError };

/// Fills `out` from the command line; on kUsageError `why` is a sentence for the user.
Parsed parse_options(int argc, char** argv, Options& out, std::string& why);

/// The help text, made from the same table as the parser.
std::string help_text(const std::string& program);

}  // namespace valectl
