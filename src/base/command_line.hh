// SPDX-License-Identifier: BSD-2-Clause
// CLI11 as the programs here want it: help no wider than a terminal, and mistakes told in one line that names the
// program and the command. Its templates are compiled once, in command_line.cc; methods mean what CLI11's of the same
// names do.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace CLI {  // NOLINT(readability-identifier-naming): theirs
class App;
class Option;
}  // namespace CLI

namespace unetmap {

// An option of a command, which owns it.
class CommandOption {
 public:
  explicit CommandOption(CLI::Option* option) : option_(option) {}

  CommandOption required() const;
  CommandOption option_text(const std::string& text) const;
  CommandOption excludes(CommandOption other) const;
  CommandOption needs(CommandOption other) const;
  CommandOption expected(int count) const;
  CommandOption expected(int least, int most) const;
  CommandOption default_str(const std::string& text) const;
  CommandOption capture_default_str() const;
  CommandOption trigger_on_parse() const;
  CommandOption allow_extra_args(bool on) const;
  // What values it takes; help says so.
  CommandOption in_range(int least, int most) const;
  CommandOption in_range(unsigned least, unsigned most) const;
  CommandOption in_range(double least, double most) const;
  CommandOption positive() const;
  CommandOption one_of(const std::vector<std::string>& values) const;
  // Empty: it may be; otherwise what is wrong with it.
  CommandOption check(std::function<std::string(const std::string&)> mistake_in) const;

 private:
  CLI::Option* option_;
};

// A command, or a group of its options. The CommandLine owns it.
class Command {
 public:
  Command() = default;
  explicit Command(CLI::App* app) : app_(app) {}

  Command add_subcommand(const std::string& name, const std::string& help);
  Command add_option_group(const std::string& name);
  // Of the types that command_line.cc has at its end. The value must outlive the command line.
  template <class Value>
  CommandOption add_option(const std::string& name, Value& value, const std::string& help = "");
  CommandOption add_flag(const std::string& name, bool& value, const std::string& help = "");
  // Has `answer` called, and ends: what else is asked for does not count.
  CommandOption add_answer(const std::string& name, std::function<void()> answer, const std::string& help);
  CommandOption get_option(const std::string& name) const;

  void footer(const std::string& text);
  void group(const std::string& name);  // empty: not for people
  void require_option(int count);
  void require_subcommand(int most);
  void positionals_at_end();
  void prefix_command(bool on);
  void allow_extras();
  void set_version_flag(const std::string& name, const std::string& text);

  bool parsed() const;
  explicit operator bool() const { return parsed(); }
  // Names of its commands that are for people.
  std::vector<std::string> command_names() const;
  // Help of one of its commands, any; empty where there is none of that name.
  std::string help_of(const std::string& command, const std::string& program) const;
  // Its own help, also where a command was chosen.
  std::string own_help() const;

 protected:
  CLI::App* app_ = nullptr;
};

// How a program ends whose command line asks for help or is wrong: exit status 0 or 2. What was asked for has been
// printed, and so has the mistake.
struct CommandLineEnd {
  int status;
  std::string mistake;  // without the end of its line
};

// Its subcommands take its manners over.
class CommandLine : public Command {
 public:
  CommandLine(const char* program, const char* about);
  ~CommandLine();
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  // No value: go on.
  std::optional<CommandLineEnd> parse(int argc, char** argv);

 private:
  std::unique_ptr<CLI::App> owned_;
};

}  // namespace unetmap
