// SPDX-License-Identifier: BSD-2-Clause
#include "port_commands.hh"

#include <fmt/core.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <fstream>
#include <set>

#include "answers.hh"
#include "base/output.hh"
#include "parts/quantities.hh"
#include "port_tables.hh"
#include "setting.hh"
#include "tables.hh"
#include "wire/channel.hh"

namespace unetmap::cli {

PortCommands::PortCommands(Command& app) {
  auto command = [&](const char* name, const char* help) {
    Command made = app.add_subcommand(name, help);
    made.add_flag("--json", json_, "print JSON");
    return made;
  };
  ports_ = command("ports", "list the ports, what is set on them and who has them open");
  ports_.add_option("what", what_, "a switch (vale0) or a port (vale0:1) instead of all");
  fdb_ = command("fdb", "addresses that switches have learned");
  fdb_.add_option("switch", switch_, "such as vale0, instead of all");
  CommandOption flush = fdb_.add_flag("--flush", flush_, "forget what it has learned");
  CommandOption pin = fdb_.add_option("--pin", pin_, "the address is behind that port, until --unpin")
                          .expected(2)
                          .option_text("ADDRESS PORT")
                          .excludes(flush);
  fdb_.add_option("--unpin", unpin_, "undo --pin").option_text("ADDRESS").excludes(flush).excludes(pin);
  set_ = command("set", "change a port, also one that is not there yet: unetmap set vale0:1 lossless on");
  set_.add_option("port", port_, "such as vale0:1").required();
  set_.add_option("property", property_, properties_help()).required().one_of(property_names()).option_text("PROPERTY");
  set_.add_option("value", values_, "what the property takes; off switches it off").required();
  wait_ = command("wait", "until a port is there");
  wait_.add_option("port", port_, "such as vale0:1").required();
  wait_.add_option("-t,--timeout", timeout_, "fail after that time, such as 10s; without it, wait for ever");
  log_ = app.add_subcommand("log", "what the daemon that was started on demand had to say");
  log_.add_flag("-f,--follow", follow_, "and what it says from now on");
}

bool PortCommands::chosen() const { return ports_ || fdb_ || set_ || wait_ || log_; }

int PortCommands::run() {
  if (ports_) return ports();
  if (fdb_) return flush_ || !pin_.empty() || !unpin_.empty() ? change_fdb() : fdb();
  if (set_) return set();
  if (wait_) return wait();
  return log();
}

int PortCommands::ports() {
  const View view{{{"what", "ports"}}, json_, {{"ports", Json::array()}}};
  bool found = true;
  const int status = show(
      view, [](const Json& answer) { return ports_table(answer) + settings_lines(answer) + users_lines(answer); },
      [&](Json answer) {
        if (what_.empty()) return answer;
        Json some = only_of(answer, what_.starts_with("netmap:") ? what_.substr(7) : what_);
        found = !some["ports"].empty() || !some["persistent"].empty() || !some["awaited"].empty();
        if (!found) fail(what_ + ": no such port or switch; unetmap ports lists those there are");
        return some;
      });
  return status == kOk && !found ? kFailed : status;
}

int PortCommands::fdb() {
  if (!switch_.empty()) {
    const View view{{{"what", "fdb"}, {"switch", switch_}}, json_, {{"switch", switch_}, {"entries", Json::array()}}};
    return show(view, fdb_table);
  }
  auto ports = answer_to({{{"what", "ports"}}, json_, {{"switches", Json::array()}}});
  if (!ports) return fail(ports.error().text);
  if (!*ports) return kOk;
  std::set<std::string> names;
  for (const Json& port : (**ports)["ports"])
    if (const std::string name = port.value("switch", ""); !name.empty()) names.insert(name);
  auto link = DaemonLink::connect(wire::default_socket_path());
  if (!link) return fail(link.error().text);
  if (!*link) return fail("the daemon ended; try again");
  Json all = Json::array();
  for (const std::string& name : names) {
    // A switch may have gone with its last port meanwhile.
    if (auto answer = (**link).query({{"what", "fdb"}, {"switch", name}})) all.push_back(std::move(*answer));
  }
  if (json_) {
    parts::print_json("unetmap", {{"switches", all}});
  } else {
    for (const Json& each : all) write_text(stdout, each.value("switch", "") + "\n" + fdb_table(each));
  }
  return kOk;
}

int PortCommands::change_fdb() {
  if (switch_.empty()) return mistake("fdb: name a switch, such as vale0; see unetmap fdb --help");
  Json wanted{{"switch", switch_}};
  if (flush_) wanted["flush"] = true;
  if (!unpin_.empty()) wanted["pin"] = unpin_;
  if (!pin_.empty()) {
    wanted["pin"] = pin_[0];
    wanted["port"] = pin_[1];
  }
  UniqueFd hold;
  auto link = running_daemon(hold);
  if (!link) return fail(link.error().text);
  if (auto done = link->set(wanted); !done) return fail(done.error().text);
  if (json_) parts::print_json("unetmap", wanted);
  return kOk;
}

int PortCommands::set() {
  auto setting = parse_setting(property_, fmt::format("{}", fmt::join(values_, " ")));
  if (!setting) return mistake(setting.error().text + "; see unetmap set --help");
  UniqueFd hold;
  auto link = running_daemon(hold);
  if (!link) return fail(link.error().text);
  Json wanted{{"port", port_}};
  wanted.update(*setting);
  if (auto done = link->set(wanted); !done) return fail(done.error().text);
  if (json_) parts::print_json("unetmap", wanted);
  return kOk;
}

int PortCommands::wait() {
  uint64_t limit_ns = 0;
  if (!timeout_.empty()) {
    auto ns = parts::parse_time_ns(timeout_, "s");
    if (!ns) return mistake("--timeout: " + ns.error().text);
    limit_ns = *ns;
  }
  UniqueFd hold;
  auto link = running_daemon(hold);
  if (!link) return fail(link.error().text);
  const std::string name = port_.starts_with("netmap:") ? port_.substr(7) : port_;
  auto answer = link->query({{"what", "wait"}, {"port", name}}, timeout_.empty() ? -1 : int(limit_ns / 1'000'000));
  if (!answer && answer.error().code == ETIMEDOUT)
    return fail(fmt::format("{}: is not there after {}", port_, timeout_));
  if (!answer) return fail(answer.error().text);
  if (json_) parts::print_json("unetmap", {{"port", port_}});
  return kOk;
}

int PortCommands::log() {
  const std::string file = wire::default_socket_path() + ".log";
  if (follow_) {
    execlp("tail", "tail", "-n", "+1", "-F", file.c_str(), nullptr);
    return fail(std::string("tail: ") + strerror(errno));
  }
  std::ifstream in(file);
  if (!in) {
    print_err(
        "unetmap: {}: no message of a daemon that was started on demand; one run by systemd writes to the journal "
        "(journalctl --user -u unetmapd, or -u unetmapd)\n",
        file);
    return kOk;
  }
  for (std::string line; std::getline(in, line);) write_text(stdout, line + "\n");
  return kOk;
}

}  // namespace unetmap::cli
