// SPDX-License-Identifier: BSD-2-Clause
// unetmap: run programs with the library in front, look at what the daemon has, change it, replay captures.
#include <fmt/core.h>
#include <poll.h>
#include <signal.h>

#include <chrono>
#include <cmath>

#include "answers.hh"
#include "base/command_line.hh"
#include "base/output.hh"
#include "capture_command.hh"
#include "complete.hh"
#include "config/state_commands.hh"
#include "daemon_link.hh"
#include "doctor.hh"
#include "doctor_record.hh"
#include "live/serve.hh"
#include "live/top.hh"
#include "parts/capture_file.hh"
#include "plug.hh"
#include "port_commands.hh"
#include "replay.hh"
#include "run_program.hh"
#include "tables.hh"
#include "trace_command.hh"
#include "wire/channel.hh"

namespace unetmap::cli {
namespace {

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
        parts::print_json("unetmap", rates_json(before, *answer, seconds));
      } else {
        write_text(stdout, rates_table(before, *answer, seconds));
      }
      if (!output_works()) return kFailed;
    }
    before = std::move(*answer);
    then = now;
    next += step;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(next - Clock::now()).count();
    ::poll(nullptr, 0, int(std::max<int64_t>(left, 1)));
  }
}

int show_replay(const ReplayOptions& options, bool json) {
  auto outcome = replay(options);
  if (!outcome) return fail(outcome.error().text);
  if (outcome->truncated) print_err("unetmap: {}\n", parts::shortened_note(outcome->truncated));
  if (json) {
    parts::print_json("unetmap", replay_json(*outcome, options.capture));
  } else {
    write_text(stdout, replay_table(*outcome, options.capture));
  }
  return outcome->identical() ? kOk : kFailed;
}

struct Arguments {
  std::vector<std::string> program;
  std::string port, help_of;
  size_t at = 0;
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
  Command command(const char* name, const char* help, bool json = true) {
    Command sub = app_.add_subcommand(name, help);
    if (json) sub.add_flag("--json", a_.json, "print JSON");
    return sub;
  }
  int carry_out();
  int carried_out();
  int help();

  CommandLine app_{"unetmap", "Runs netmap programs without netmap in the kernel, and shows what their daemon has."};
  Arguments a_;
  PortCommands port_commands_{app_};
  PlugCommands plug_{app_};
  CaptureCommands capture_{app_};
  StateCommands state_{app_};
  TraceCommand trace_{app_};
  live::TopCommand top_{app_};
  live::ServeCommands serve_{app_};
  Command run_, stats_, replay_, daemon_, doctor_, help_, complete_;
};

Program::Program() {
  app_.require_subcommand(1);
  app_.set_version_flag("--version", "unetmap " UNETMAP_VERSION);
  app_.footer("The daemon's socket: " + wire::default_socket_path() + " (UNETMAP_SOCKET names another)");

  run_ = command("run", "run an unmodified netmap program", false);
  run_.add_flag("-q,--quiet", a_.quiet, "do not explain failed netmap requests on stderr");
  run_.add_option("program", a_.program, "the program and its arguments, after --").required();
  run_.positionals_at_end();
  run_.prefix_command(false);

  stats_ = command("stats", "packets, bytes and losses by cause");
  stats_.add_option("port", a_.port, "one port instead of all");
  stats_.add_option("-i,--interval", a_.interval_s, "print rates every so many seconds").in_range(0.05, 86400.0);
  replay_ = command("replay", "send a capture through a switch and compare what comes out");
  replay_.add_option("file", a_.replay.capture, "pcap or pcapng file").required();
  replay_.add_option("--switch", a_.replay.switch_name, "switch to use").capture_default_str();
  replay_.add_option("--write", a_.replay.write, "pcap file for what came out");
  daemon_ = command("daemon", "whether the daemon runs, and what it has");
  doctor_ = command("doctor", "what would spoil an experiment on this machine or an interface, and what to do", false);
  doctor_.add_option("interface", a_.doctor.interface, "such as eth0; without one, the machine, and who has mode driver");
  CommandOption fix = doctor_.add_flag("--fix", a_.doctor.fix, "do what is safe, and remember how it was");
  doctor_.add_flag("--undo", a_.doctor.undo, "take all that --fix did back").excludes(fix);
  doctor_.add_option("--record", a_.doctor.record, "where --fix remembers").default_str(FixRecord::default_file());
  doctor_.add_flag("--json", a_.doctor.json, "print JSON");
  help_ = command("help", "this text, or that of a command", false);
  help_.add_option("command", a_.help_of, "such as ports");
  complete_ = command("complete", "what may stand at that place of a command line, for shells", false);
  complete_.group("");  // not for people
  complete_.add_option("at", a_.at).required();
  complete_.add_option("words", a_.program).required();
}

int Program::carry_out() {
  if (run_) return run_program(a_.program, a_.quiet);
  if (stats_) {
    View view{{{"what", "stats"}}, a_.json, {{"ports", Json::array()}}};
    if (!a_.port.empty()) view.question["port"] = a_.port;
    view.with_plug = !a_.port.empty();
    if (a_.interval_s > 0) return watch(view, a_.interval_s);
    return show(view, [&](const Json& answer) {
      return a_.port.empty() || answer["ports"].empty() ? stats_table(answer) : stats_of_port(answer["ports"][0]);
    });
  }
  if (doctor_) return doctor(a_.doctor);
  if (help_) return help();
  if (complete_) return complete(a_.program, a_.at, app_.command_names());
  if (port_commands_.chosen()) return port_commands_.run();
  if (replay_) return show_replay(a_.replay, a_.json);
  if (plug_.chosen()) return plug_.run();
  if (capture_.chosen()) return capture_.run();
  if (state_.chosen()) return state_.run();
  if (trace_.chosen()) return trace_.run();
  if (top_.chosen()) return top_.run();
  if (serve_.chosen()) return serve_.run();
  // Its version is not ours.
  return show({{{"what", "daemon"}}, a_.json, {{"running", false}}}, daemon_table, [&](Json answer) {
    if (!a_.json) return answer;
    Json out{{"running", true}};
    for (const auto& [name, value] : answer.items()) out[name == "version" ? "daemon_version" : name] = value;
    return out;
  });
}

int Program::help() {
  const std::string text = a_.help_of.empty() ? app_.own_help() : app_.help_of(a_.help_of, "unetmap");
  if (text.empty()) return mistake("there is no command '" + a_.help_of + "'; see unetmap --help");
  write_text(stdout, text);
  return kOk;
}

int Program::main(int argc, char** argv) {
  const bool json = parts::json_wanted(argc, argv);
  if (auto end = app_.parse(argc, argv)) {
    if (end->status == 0) return kOk;
    if (json) parts::print_json("unetmap", {{"error", end->mistake}});
    return kUsage;
  }
  return parts::carried_out("unetmap", json, [this] { return carried_out(); });
}

int Program::carried_out() {
  try {
    return carry_out();
  } catch (const Json::exception& error) {
    return fail(std::string("unetmapd: answer not understood: ") + error.what() +
                "; is the daemon of the same version as this program?");
  }
}

}  // namespace
}  // namespace unetmap::cli

int main(int argc, char** argv) {
  unetmap::check_output_at_exit("unetmap");
  return unetmap::cli::Program().main(argc, argv);
}
