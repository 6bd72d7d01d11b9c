// SPDX-License-Identifier: BSD-2-Clause
// One table drives a command line and its help: each row is a letter, a long name or both, what it takes, what it
// means, and what is done with it.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hh"

namespace unetmap::parts {

struct OptionRow {
  char letter;           // 0: long name only
  const char* name;      // nullptr: letter only
  const char* argument;  // nullptr: takes none
  const char* help;
  std::function<Result<void>(const char* text)> store;
};

class OptionTable {
 public:
  // `words` is the rest of the synopsis, such as "PROGRAM [ARGUMENTS]". Rows for --help and --version are added.
  OptionTable(std::string program, std::string about, std::string words, std::vector<OptionRow> rows);

  // The words that are no options. With `words_last` the first of them ends the options, so that a program to run keeps
  // its own.
  Result<std::vector<std::string>> parse(int argc, char** argv, bool words_last = false);

  bool help_wanted() const { return help_wanted_; }
  bool version_wanted() const { return version_wanted_; }
  std::string help_text() const;

  // parse() and what every program does with its outcome. No value: the program shall end with *exit_status.
  std::optional<std::vector<std::string>> run(int argc, char** argv, int* exit_status, bool words_last = false);
  // Says what is wrong with the command line; the exit status for it.
  int usage_error(const std::string& text) const;

 private:
  std::string program_, about_, words_;
  std::vector<OptionRow> rows_;
  bool help_wanted_ = false, version_wanted_ = false, json_wanted_ = false;
};

// Makes a row's store of common kinds.
std::function<Result<void>(const char*)> set_flag(bool& flag);
std::function<Result<void>(const char*)> set_text(std::string& text);

}  // namespace unetmap::parts
