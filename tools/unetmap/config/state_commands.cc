// SPDX-License-Identifier: BSD-2-Clause
#include "state_commands.hh"

#include <unistd.h>

#include <cstdio>

#include "answers.hh"
#include "base/output.hh"
#include "carry_out.hh"
#include "daemon_link.hh"
#include "saved_state.hh"
#include "wire/channel.hh"

namespace unetmap::cli {
namespace {

Result<Json> state_of(DaemonLink& link) {
  auto ports = link.query({{"what", "ports"}});
  if (!ports) return ports.error();
  auto plugs = link.query({{"what", "plugs"}});
  if (!plugs) return plugs.error();
  return actual_state(*ports, *plugs);
}

Json changes_json(const std::vector<Change>& changes) {
  Json out = Json::array();
  for (const Change& each : changes)
    out.push_back({{"object", each.table + " " + each.name}, {"key", each.key}, {"from", each.from}, {"to", each.to}});
  return out;
}

bool person_agrees() {
  print_err("Do this? [y/N] ");
  char answer[16];
  return fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

}  // namespace

StateCommands::StateCommands(Command& app) {
  apply_ = app.add_subcommand("apply", "make of the daemon what a file says, after showing what that changes");
  apply_.add_option("file", file_, "such as unetmap show writes; unetmap.toml(5)").required();
  CommandOption dry = apply_.add_flag("-n,--dry-run", dry_run_, "show what would be changed, and change nothing");
  apply_.add_flag("-y,--yes", yes_, "do not ask").excludes(dry);
  apply_.add_flag("--prune", prune_, "undo what the file does not name, too");
  apply_.add_flag("--json", json_, "print JSON");
  show_ = app.add_subcommand("show", "what unetmap apply could make again, as a file");
  show_.add_flag("--json", json_, "print JSON");
}

bool StateCommands::chosen() const { return apply_ || show_; }

int StateCommands::run() { return apply_ ? apply() : show(); }

int StateCommands::show() {
  auto link = DaemonLink::connect(wire::default_socket_path());
  if (!link) return fail(link.error().text);
  Json state = actual_state(Json::object(), Json::object());
  if (!*link) {
    print_err("unetmap: {}\n", no_daemon());
  } else {
    auto now = state_of(**link);
    if (!now) return fail(now.error().text);
    state = std::move(*now);
  }
  if (json_)
    parts::print_json("unetmap", {{"state", state}});
  else
    write_text(stdout, state_text(state));
  return kOk;
}

int StateCommands::apply() {
  auto document = TomlDocument::read(file_);
  if (!document) return fail(document.error().text);
  UniqueFd hold;
  auto link = running_daemon(hold);
  if (!link) return fail(link.error().text);
  auto wanted = wanted_state(*document, [&](const std::string& port, const Json& settings) -> Result<Json> {
    auto normal = link->query({{"what", "settings"}, {"port", port}, {"set", settings}});
    if (!normal) return normal.error();
    return (*normal)["set"];
  });
  if (!wanted) return fail(wanted.error().text);
  auto actual = state_of(*link);
  if (!actual) return fail(actual.error().text);
  const auto changes = changes_between(*wanted, *actual, prune_);
  if (!json_) {
    for (const Change& each : changes) write_text(stdout, change_text(each) + "\n");
    if (changes.empty()) print_out("{}: nothing to change\n", file_);
    if (!prune_)
      for (const std::string& each : unnamed(*wanted, *actual))
        print_out("  {}: is not in the file, and stays (--prune undoes it)\n", each);
    fflush(stdout);
  }
  bool go = !changes.empty() && !dry_run_;
  if (go && !yes_) {
    if (json_ || !isatty(STDIN_FILENO))
      return mistake("apply: there is nobody to ask; give --yes, or --dry-run to see what would be changed");
    go = person_agrees();
  }
  std::vector<Error> errors;
  if (go) errors = carry_out(*link, *wanted, changes);
  // All of them: the others were done.
  for (size_t i = 0; i < errors.size(); i++)
    i + 1 < errors.size() ? print_err("unetmap: {}\n", errors[i].text) : void(fail(errors[i].text));
  if (json_) parts::print_json("unetmap", {{"file", file_}, {"changes", changes_json(changes)}, {"applied", go}});
  return errors.empty() ? kOk : kFailed;
}

}  // namespace unetmap::cli
