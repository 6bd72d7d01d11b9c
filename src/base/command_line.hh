// SPDX-License-Identifier: BSD-2-Clause
// CLI11 as the programs here want it: help no wider than a terminal, and mistakes told in one line that names the
// program and the command.
#pragma once

#include <CLI/CLI.hpp>
#include <cctype>
#include <memory>
#include <string>

#include "base/fold.hh"

namespace unetmap {

class FoldedHelp : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override {
    return fold(Formatter::make_help(app, std::move(name), mode));
  }
};

inline std::string usage_mistake(const CLI::App* app, const CLI::Error& error) {
  std::string where = app->get_name(), what = error.what();
  for (const CLI::App* command : app->get_subcommands()) where += " " + command->get_name();
  const auto left = app->remaining();
  // Words that were no command are worth more than that there was none.
  if (error.get_name() == "RequiredError" && app->get_subcommands().empty() && !left.empty() &&
      !app->get_subcommands([](const CLI::App*) { return true; }).empty())
    what = "there is no command '" + left.front() + "'";
  if (what.size() > 1 && !std::isupper(static_cast<unsigned char>(what[1])))
    what[0] = char(std::tolower(static_cast<unsigned char>(what[0])));
  return where + ": " + what + "; see " + where + " --help\n";
}

// Its subcommands take all this over.
class CommandLine : public CLI::App {
 public:
  CommandLine(const char* program, const char* about) : CLI::App(about, program) {
    formatter(std::make_shared<FoldedHelp>());
    failure_message(usage_mistake);
  }
};

}  // namespace unetmap
