// SPDX-License-Identifier: BSD-2-Clause
#include "base/command_line.hh"

#include <CLI/CLI.hpp>
#include <cctype>
#include <cstdint>

#include "base/fold.hh"

namespace unetmap {
namespace {

class FoldedHelp : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override {
    return fold(Formatter::make_help(app, std::move(name), mode));
  }
};

std::string usage_mistake(const CLI::App* app, const CLI::Error& error) {
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

}  // namespace

CommandOption CommandOption::required() const { return CommandOption(option_->required()); }
CommandOption CommandOption::option_text(const std::string& text) const {
  return CommandOption(option_->option_text(text));
}
CommandOption CommandOption::excludes(CommandOption other) const {
  return CommandOption(option_->excludes(other.option_));
}
CommandOption CommandOption::needs(CommandOption other) const { return CommandOption(option_->needs(other.option_)); }
CommandOption CommandOption::expected(int count) const { return CommandOption(option_->expected(count)); }
CommandOption CommandOption::expected(int least, int most) const {
  return CommandOption(option_->expected(least, most));
}
CommandOption CommandOption::default_str(const std::string& text) const {
  return CommandOption(option_->default_str(text));
}
CommandOption CommandOption::capture_default_str() const { return CommandOption(option_->capture_default_str()); }
CommandOption CommandOption::trigger_on_parse() const { return CommandOption(option_->trigger_on_parse()); }
CommandOption CommandOption::in_range(int least, int most) const {
  return CommandOption(option_->check(CLI::Range(least, most)));
}
CommandOption CommandOption::in_range(unsigned least, unsigned most) const {
  return CommandOption(option_->check(CLI::Range(least, most)));
}
CommandOption CommandOption::in_range(double least, double most) const {
  return CommandOption(option_->check(CLI::Range(least, most)));
}
CommandOption CommandOption::positive() const {
  CLI::Validator above_0("POSITIVE");
  above_0.operation([](std::string& text) {
    // CLI11 has a range up to the largest double, and says so.
    double number = 0;
    const bool is_positive = CLI::detail::lexical_cast(text, number) && number > 0;
    return is_positive ? std::string() : "'" + text + "' is no number above 0";
  });
  return CommandOption(option_->check(std::move(above_0)));
}
CommandOption CommandOption::one_of(const std::vector<std::string>& values) const {
  return CommandOption(option_->check(CLI::IsMember(values)));
}
CommandOption CommandOption::check(std::function<std::string(const std::string&)> mistake_in) const {
  return CommandOption(option_->check(std::move(mistake_in)));
}
CommandOption CommandOption::allow_extra_args(bool on) const { return CommandOption(option_->allow_extra_args(on)); }

Command Command::add_subcommand(const std::string& name, const std::string& help) {
  return Command(app_->add_subcommand(name, help));
}
Command Command::add_option_group(const std::string& name) { return Command(app_->add_option_group(name)); }
template <class Value>
CommandOption Command::add_option(const std::string& name, Value& value, const std::string& help) {
  return CommandOption(app_->add_option(name, value, help));
}
CommandOption Command::add_flag(const std::string& name, bool& value, const std::string& help) {
  return CommandOption(app_->add_flag(name, value, help));
}
CommandOption Command::add_answer(const std::string& name, std::function<void()> answer, const std::string& help) {
  return CommandOption(app_->add_flag_callback(
      name,
      [answer = std::move(answer)] {
        answer();
        throw CLI::Success();
      },
      help));
}
CommandOption Command::get_option(const std::string& name) const { return CommandOption(app_->get_option(name)); }
void Command::footer(const std::string& text) { app_->footer(text); }
void Command::group(const std::string& name) { app_->group(name); }
void Command::require_option(int count) { app_->require_option(count); }
void Command::require_subcommand(int most) { app_->require_subcommand(most); }
void Command::positionals_at_end() { app_->positionals_at_end(); }
void Command::prefix_command(bool on) { app_->prefix_command(on); }
void Command::allow_extras() { app_->allow_extras(); }
void Command::set_version_flag(const std::string& name, const std::string& text) { app_->set_version_flag(name, text); }
bool Command::parsed() const { return app_->parsed(); }

std::vector<std::string> Command::command_names() const {
  std::vector<std::string> out;
  for (const CLI::App* command : app_->get_subcommands([](const CLI::App* each) { return !each->get_group().empty(); }))
    out.push_back(command->get_name());
  return out;
}

std::string Command::help_of(const std::string& command, const std::string& program) const {
  for (CLI::App* found : app_->get_subcommands([&](CLI::App* each) { return each->get_name() == command; }))
    return found->help(program);
  return "";
}

std::string Command::own_help() const {
  return app_->get_formatter()->make_help(app_, app_->get_name(), CLI::AppFormatMode::Normal);
}

CommandLine::CommandLine(const char* program, const char* about) : owned_(std::make_unique<CLI::App>(about, program)) {
  app_ = owned_.get();
  app_->formatter(std::make_shared<FoldedHelp>());
  app_->failure_message(usage_mistake);
}
CommandLine::~CommandLine() = default;

std::optional<CommandLineEnd> CommandLine::parse(int argc, char** argv) {
  try {
    app_->parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (app_->exit(error) == 0) return CommandLineEnd{0, ""};
    const std::string text = usage_mistake(app_, error);
    return CommandLineEnd{2, text.substr(0, text.find('\n'))};
  }
  return std::nullopt;
}

template CommandOption Command::add_option(const std::string&, std::string&, const std::string&);
template CommandOption Command::add_option(const std::string&, std::vector<std::string>&, const std::string&);
template CommandOption Command::add_option(const std::string&, int&, const std::string&);
template CommandOption Command::add_option(const std::string&, uint32_t&, const std::string&);
template CommandOption Command::add_option(const std::string&, uint64_t&, const std::string&);
template CommandOption Command::add_option(const std::string&, double&, const std::string&);

}  // namespace unetmap
