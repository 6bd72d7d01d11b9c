// SPDX-License-Identifier: BSD-2-Clause
// Judgements of what was found: good or not, what that means, and what to do.
#pragma once

#include <map>
#include <string>
#include <variant>
#include <vector>

#include "doctor_facts.hh"

namespace unetmap::cli {

// Changes that are safe: nothing but speed depends on them, and they can be taken back.
struct SetFlowControl {
  std::string interface;
  FlowControl wanted;
};
struct SetFeatures {
  std::string interface;
  std::map<std::string, bool> wanted;
};
struct WriteFile {
  std::string file, wanted;
};
using Fix = std::variant<SetFlowControl, SetFeatures, WriteFile>;

enum class State { kOk, kWarn, kFail };
const char* name_of(State state);

struct Check {
  std::string object;  // an interface, or "machine"
  std::string name;
  State state = State::kOk;
  std::string found;
  std::string meaning;  // empty where all is well
  std::string remedy;   // a command, or what else to do
  std::vector<Fix> fixes;
};

std::vector<Check> check_interface(const InterfaceFacts& facts);
Check check_driver_mode(const InterfaceFacts& facts);
std::vector<Check> check_machine(const MachineFacts& facts);

}  // namespace unetmap::cli
