// SPDX-License-Identifier: BSD-2-Clause
// unetmap: run programs with the library in front, look at what the daemon has, change it, replay captures.
#include <fmt/core.h>
#include <poll.h>
#include <signal.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>

#include "base/command_line.hh"
#include "capture_command.hh"
#include "daemon_link.hh"
#include "doctor.hh"
#include "doctor_record.hh"
#include "plug.hh"
#include "replay.hh"
#include "run_program.hh"
#include "setting.hh"
#include "tables.hh"
#include "wire/channel.hh"

namespace unetmap::cli {
namespace {

constexpr int kOk = 0, kFailed = 1, kUsage = 2;

int fail(const std::string& text) {
  fmt::print(stderr, "unetmap: {}\n", text);
  return kFailed;
}

void print(const std::string& text) {
  fwrite(text.data(), 1, text.size(), stdout);
  fflush(stdout);
}
void print(const Json& json) { print(json.dump() + "\n"); }

// What to show of an answer, or of there being no daemon.
struct View {
  Json question;
  bool json = false;
  Json nothing;  // the answer of a daemon that has nothing
};

std::string no_daemon() { return "no daemon is running at " + wire::default_socket_path(); }

// The daemon's answer; no value, having said so, when none runs: nothing exists then, which is no failure.
Result<std::optional<Json>> answer_to(const View& view) {
  auto link = DaemonLink::connect(wire::default_socket_path());
  if (!link) return link.error();
  if (!*link) {
    fmt::print(stderr, "unetmap: {}\n", no_daemon());
    if (view.json) print(view.nothing);
    return std::optional<Json>();
  }
  auto answer = (**link).query(view.question);
  if (!answer) return answer.error();
  return std::optional<Json>(std::move(*answer));
}

template <class Table>
int show(const View& view, Table&& table) {
  auto answer = answer_to(view);
  if (!answer) return fail(answer.error().text);
  if (!*answer) return kOk;
  if (view.json) {
    print(**answer);
  } else {
    print(table(**answer));
  }
  return kOk;
}

// Rates, again and again, until a signal ends us, the daemon ends, or standard output is closed.
int watch(const View& view, double interval_s) {
  signal(SIGPIPE, SIG_DFL);
  auto link = DaemonLink::connect(wire::default_socket_path());
  if (!link) return fail(link.error().text);
  if (!*link) return fail(no_daemon() + "; start a program on a port first");
  using Clock = std::chrono::steady_clock;
  Json before;
  Clock::time_point then{}, next = Clock::now();
  const auto step = std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(interval_s));
  for (;;) {
    auto answer = (**link).query(view.question);
    const auto now = Clock::now();
    if (!answer) return fail(answer.error().text);
    if (!before.is_null()) {
      const double seconds = std::chrono::duration<double>(now - then).count();
      if (view.json) {
        print(rates_json(before, *answer, seconds));
      } else {
        print(rates_table(before, *answer, seconds));
      }
    }
    before = std::move(*answer);
    then = now;
    next += step;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(next - Clock::now()).count();
    ::poll(nullptr, 0, int(std::max<int64_t>(left, 1)));
  }
}

int set_port(const std::string& port, const std::string& property, const std::string& value, bool json) {
  auto setting = parse_setting(property, value);
  if (!setting) {
    fmt::print(stderr, "unetmap: {}\n", setting.error().text);
    return kUsage;
  }
  auto link = DaemonLink::connect(wire::default_socket_path());
  if (!link) return fail(link.error().text);
  if (!*link) return fail(no_daemon() + ", so there is no port " + port + "; start the program that opens it first");
  Json wanted{{"port", port}};
  wanted.update(*setting);
  if (auto set = (**link).set(wanted); !set) return fail(set.error().text);
  if (json) print(wanted);
  return kOk;
}

int show_replay(const ReplayOptions& options, bool json) {
  auto outcome = replay(options);
  if (!outcome) return fail(outcome.error().text);
  if (json) {
    print(replay_json(*outcome, options.capture));
  } else {
    print(replay_table(*outcome, options.capture));
  }
  return outcome->identical() ? kOk : kFailed;
}

struct Arguments {
  std::vector<std::string> program;
  std::string port, switch_name, property, value;
  double interval_s = 0;
  bool quiet = false, json = false;
  ReplayOptions replay;
  DoctorOptions doctor;
};

class Program {
 public:
  Program();
  int main(int argc, char** argv);

 private:
  CLI::App* command(const char* name, const char* help, bool json = true) {
    CLI::App* sub = app_.add_subcommand(name, help);
    if (json) sub->add_flag("--json", a_.json, "print JSON");
    return sub;
  }
  int carry_out();

  CommandLine app_{"unetmap", "Runs netmap programs without netmap in the kernel, and shows what their daemon has."};
  Arguments a_;
  PlugCommands plug_{app_};
  CaptureCommands capture_{app_};
  CLI::App *run_, *ports_, *stats_, *fdb_, *set_, *replay_, *daemon_, *doctor_;
};

Program::Program() {
  app_.require_subcommand(1);
  app_.set_version_flag("--version", "unetmap " UNETMAP_VERSION);
  app_.footer("The daemon's socket: " + wire::default_socket_path() + " (UNETMAP_SOCKET names another)");

  run_ = command("run", "run an unmodified netmap program", false);
  run_->add_flag("-q,--quiet", a_.quiet, "do not explain failed netmap requests on stderr");
  run_->add_option("program", a_.program, "the program and its arguments, after --")->required();
  run_->positionals_at_end();
  run_->prefix_command(false);

  ports_ = command("ports", "list the ports");
  stats_ = command("stats", "packets, bytes and losses by cause");
  stats_->add_option("port", a_.port, "one port instead of all");
  stats_->add_option("-i,--interval", a_.interval_s, "print rates every so many seconds")
      ->check(CLI::Range(0.05, 86400.0));
  fdb_ = command("fdb", "addresses a switch has learned");
  fdb_->add_option("switch", a_.switch_name, "such as vale0")->required();
  set_ = command("set", "change a port: unetmap set vale0:1 lossless on");
  set_->add_option("port", a_.port, "such as vale0:1")->required();
  set_->add_option("property", a_.property, properties_help())->required()->check(CLI::IsMember(property_names()));
  set_->add_option("value", a_.value, "what the property takes; off switches it off")->required();
  replay_ = command("replay", "send a capture through a switch and compare what comes out");
  replay_->add_option("file", a_.replay.capture, "pcap or pcapng file")->required();
  replay_->add_option("--switch", a_.replay.switch_name, "switch to use")->capture_default_str();
  replay_->add_option("--write", a_.replay.write, "pcap file for what came out");
  daemon_ = command("daemon", "whether the daemon runs, and what it has");
  doctor_ = command("doctor", "what would spoil an experiment on this machine or an interface, and what to do", false);
  doctor_->add_option("interface", a_.doctor.interface, "such as eth0; without one, the machine alone");
  CLI::Option* fix = doctor_->add_flag("--fix", a_.doctor.fix, "do what is safe, and remember how it was");
  doctor_->add_flag("--undo", a_.doctor.undo, "take all that --fix did back")->excludes(fix);
  doctor_->add_option("--record", a_.doctor.record, "where --fix remembers")->default_str(FixRecord::default_file());
  doctor_->add_flag("--json", a_.doctor.json, "print JSON");
}

int Program::carry_out() {
  if (*run_) return run_program(a_.program, a_.quiet);
  if (*ports_) return show({{{"what", "ports"}}, a_.json, {{"ports", Json::array()}}}, ports_table);
  if (*stats_) {
    View view{{{"what", "stats"}}, a_.json, {{"ports", Json::array()}}};
    if (!a_.port.empty()) view.question["port"] = a_.port;
    if (a_.interval_s > 0) return watch(view, a_.interval_s);
    return show(view, [&](const Json& answer) {
      return a_.port.empty() || answer["ports"].empty() ? stats_table(answer) : stats_of_port(answer["ports"][0]);
    });
  }
  if (*fdb_) {
    View view{{{"what", "fdb"}, {"switch", a_.switch_name}}, a_.json, {{"switch", a_.switch_name}, {"entries", Json::array()}}};
    return show(view, fdb_table);
  }
  if (*doctor_) return doctor(a_.doctor);
  if (*set_) return set_port(a_.port, a_.property, a_.value, a_.json);
  if (*replay_) return show_replay(a_.replay, a_.json);
  if (plug_.chosen()) return plug_.run();
  if (capture_.chosen()) return capture_.run();
  return show({{{"what", "daemon"}}, a_.json, {{"running", false}}}, daemon_table);
}

int Program::main(int argc, char** argv) {
  try {
    app_.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app_.exit(error) == 0 ? kOk : kUsage;
  }
  try {
    return carry_out();
  } catch (const nlohmann::json::exception& error) {
    return fail(std::string("unetmapd: answer not understood: ") + error.what() +
                "; is the daemon of the same version as this program?");
  }
}

}  // namespace
}  // namespace unetmap::cli

int main(int argc, char** argv) { return unetmap::cli::Program().main(argc, argv); }
