// SPDX-License-Identifier: BSD-2-Clause
// `unetmap plug` and `unetmap unplug`: ports that have no program of their own.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>

namespace unetmap::cli {

class PlugCommands {
 public:
  explicit PlugCommands(CLI::App& app);
  bool chosen() const { return *plug_ || *unplug_; }
  // The exit status.
  int run();

 private:
  int plug();
  int unplug();

  CLI::App *plug_, *unplug_;
  std::string port_;
  std::map<std::string, std::string> sockets_, texts_, settings_;  // by kind; by parameter; by property
  std::map<std::string, uint64_t> numbers_;
  bool server_ = false, client_ = false, separate_ = false, json_ = false;
};

}  // namespace unetmap::cli
