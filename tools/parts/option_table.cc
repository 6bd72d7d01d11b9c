// SPDX-License-Identifier: BSD-2-Clause
#include "option_table.hh"

#include <fmt/core.h>
#include <getopt.h>

#include <algorithm>
#include <string_view>

#include "base/fold.hh"
#include "base/output.hh"
#include "json_report.hh"

namespace unetmap::parts {
namespace {

constexpr int kFirstLong = 256;  // past all letters
constexpr size_t kHelpColumn = 28;

}  // namespace

OptionTable::OptionTable(std::string program, std::string about, std::string words, std::vector<OptionRow> rows)
    : program_(std::move(program)), about_(std::move(about)), words_(std::move(words)), rows_(std::move(rows)) {
  const bool has_letter =
      std::any_of(rows_.begin(), rows_.end(), [](const OptionRow& row) { return row.letter == 'h'; });
  rows_.push_back({has_letter ? '\0' : 'h', "help", nullptr, "this text", [](const char*) { return Result<void>(); }});
  rows_.push_back({0, "version", nullptr, "the version", [](const char*) { return Result<void>(); }});
}

Result<std::vector<std::string>> OptionTable::parse(int argc, char** argv, bool words_last) {
  json_wanted_ = json_wanted(argc, argv);
  std::string letters = words_last ? "+:" : ":";
  std::vector<option> names;
  for (size_t i = 0; i < rows_.size(); i++) {
    const OptionRow& row = rows_[i];
    const int takes = row.argument ? required_argument : no_argument;
    if (row.letter) letters += row.letter;
    if (row.letter && row.argument) letters += ':';
    if (row.name) names.push_back({row.name, takes, nullptr, kFirstLong + int(i)});
  }
  names.push_back({});
  opterr = 0;
  optind = 0;  // glibc: begin afresh, and look at the first letter of `letters` again
  for (int got; (got = getopt_long(argc, argv, letters.c_str(), names.data(), nullptr)) != -1;) {
    if (got == ':') return Error{EINVAL, fmt::format("option {} needs an argument", argv[optind - 1])};
    if (got == '?') return Error{EINVAL, fmt::format("there is no option {}", argv[optind - 1])};
    auto is_row = [&](const OptionRow& row) {
      return got >= kFirstLong ? &row == &rows_[size_t(got - kFirstLong)] : row.letter == got;
    };
    const OptionRow& row = *std::find_if(rows_.begin(), rows_.end(), is_row);
    if (row.name && std::string_view(row.name) == "help") help_wanted_ = true;
    if (row.name && std::string_view(row.name) == "version") version_wanted_ = true;
    if (auto stored = row.store(optarg); !stored) {
      const std::string name = row.letter ? fmt::format("-{}", row.letter) : fmt::format("--{}", row.name);
      return Error{stored.error().code, fmt::format("{}: {}", name, stored.error().text)};
    }
  }
  return std::vector<std::string>(argv + optind, argv + argc);
}

std::string OptionTable::help_text() const {
  std::string out = fmt::format("usage: {} [OPTIONS]{}{}\n{}\n\n", program_, words_.empty() ? "" : " ", words_, about_);
  for (const OptionRow& row : rows_) {
    std::string left = row.letter ? fmt::format("  -{}", row.letter) : "    ";
    if (row.name) left += fmt::format("{} --{}", row.letter ? "," : " ", row.name);
    if (row.argument) left += fmt::format(" {}", row.argument);
    out += left.size() < kHelpColumn ? fmt::format("{:<{}}{}\n", left, kHelpColumn, row.help)
                                     : fmt::format("{}\n{:<{}}{}\n", left, "", kHelpColumn, row.help);
  }
  return fold(out);
}

int OptionTable::usage_error(const std::string& text) const {
  fail(program_, text + "; see " + program_ + " --help");
  return ended(program_, 2, json_wanted_);
}

std::optional<std::vector<std::string>> OptionTable::run(int argc, char** argv, int* exit_status, bool words_last) {
  auto words = parse(argc, argv, words_last);
  if (help_wanted_) {
    print_out("{}", help_text());
    *exit_status = 0;
    return std::nullopt;
  }
  if (version_wanted_) {
    print_out("{} of unetmap {}\n", program_, UNETMAP_VERSION);
    *exit_status = 0;
    return std::nullopt;
  }
  if (!words) {
    *exit_status = usage_error(words.error().text);
    return std::nullopt;
  }
  return std::move(*words);
}

std::function<Result<void>(const char*)> set_flag(bool& flag) {
  return [&flag](const char*) {
    flag = true;
    return Result<void>();
  };
}

std::function<Result<void>(const char*)> set_text(std::string& text) {
  return [&text](const char* given) -> Result<void> {
    if (!*given) return Error{EINVAL, "an empty word"};
    text = given;
    return {};
  };
}

}  // namespace unetmap::parts
