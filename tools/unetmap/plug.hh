// SPDX-License-Identifier: BSD-2-Clause
// `unetmap plug` and `unetmap unplug`: ports that have no program of their own.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/command_line.hh"
#include "base/json.hh"

namespace unetmap::cli {

class PlugCommands {
 public:
  explicit PlugCommands(Command& app);
  bool chosen() const;
  // The exit status.
  int run();

 private:
  int plug();
  int unplug();
  void describe_card(Json& wanted);

  Command plug_, unplug_;
  std::string port_;
  std::map<std::string, std::string> sockets_, texts_, settings_;  // by kind; by parameter; by property
  std::map<std::string, uint64_t> numbers_;
  std::string mitigation_;
  uint64_t itr_us_ = 0;
  bool paravirt_ = false;
  bool server_ = false, client_ = false, separate_ = false, json_ = false;
};

}  // namespace unetmap::cli
