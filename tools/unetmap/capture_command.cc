// SPDX-License-Identifier: BSD-2-Clause
#include "capture_command.hh"

#include <fcntl.h>
#include <fmt/core.h>
#include <signal.h>
#include <unistd.h>

#include "answers.hh"
#include "base/output.hh"
#include "daemon_link.hh"
#include "parts/json_report.hh"
#include "parts/packet_filter.hh"
#include "parts/quantities.hh"
#include "parts/stop.hh"
#include "switch_tap.hh"
#include "wire/channel.hh"

namespace unetmap::cli {
namespace {

constexpr std::string_view kExtcapPrefix = "unetmap-";  // of interfaces as Wireshark names them
constexpr unsigned kEthernetDlt = 1;

std::string summary(const Watched& watched) {
  std::string out = fmt::format("{} packets captured", watched.captured);
  if (watched.received != watched.captured)
    out += fmt::format(", {} did not match", watched.received - watched.captured);
  if (watched.lost) out += fmt::format(", {} lost, as this program was too slow", watched.lost);
  return out;
}

// Standard output stays open: it is closed with the copy.
Result<UniqueFd> open_output(const std::string& file) {
  const bool standard = file.empty() || file == "-";
  UniqueFd out(standard ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
                        : open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (!out) return Error::from_errno(errno, standard ? "standard output" : file);
  return out;
}

}  // namespace

CaptureCommands::CaptureCommands(Command& app) {
  add_capture(app);
  add_extcap(app);
}

bool CaptureCommands::chosen() const { return capture_ || extcap_; }

void CaptureCommands::add_capture(Command& app) {
  capture_ = app.add_subcommand("capture", "write what passes a port or a switch as pcapng, for tcpdump and Wireshark");
  capture_.add_option("port", options_.port, "such as vale0:1, vale0:1{2, eth0; or a switch, such as vale0").required();
  capture_.add_option("-w,--write", options_.file, "file; without it, or with -, standard output");
  capture_.add_option("-c,--count", options_.count, "end after so many packets");
  capture_.add_option("-s,--snaplen", options_.snapshot_bytes, "bytes of each packet that are kept")
      .in_range(14, 65535);
  auto rotate = capture_.add_option("--rotate", rotate_, "next file after that size or time, such as 100M or 10m");
  capture_.add_option("--keep", keep_, "of those files only so many, the newest").positive().needs(rotate);
  capture_.add_option("-d,--duration", duration_, "end after that time, such as 10s");
  capture_.add_flag("--json", json_, "the counts at the end as JSON on standard output; needs -w FILE");
  capture_.add_flag("-q,--quiet", quiet_, "no counts on standard error");
  capture_.add_option("filter", filter_, "what to capture, such as: udp port 53 (pcap-filter(7))");
}

void CaptureCommands::add_extcap(Command& app) {
  extcap_ = app.add_subcommand("extcap", "captures for Wireshark, by its extcap protocol");
  extcap_.group("");  // not for people
  extcap_.add_flag("--extcap-interfaces", interfaces_);
  extcap_.add_flag("--extcap-dlts", dlts_);
  extcap_.add_flag("--extcap-config", config_);
  extcap_.add_flag("--capture", start_);
  extcap_.add_option("--extcap-version", version_).expected(0, 1);
  extcap_.add_option("--extcap-interface", interface_);
  extcap_.add_option("--extcap-capture-filter", options_.filter);
  extcap_.add_option("--fifo", fifo_);
  extcap_.add_option("--snaplen", options_.snapshot_bytes);
  extcap_.allow_extras();  // of later versions of the protocol
}

int CaptureCommands::run() {
  signal(SIGPIPE, SIG_IGN);
  parts::stop_on_signals();
  return capture_ ? capture() : extcap();
}

// The command line, as far as CLI11 does not.
Result<void> CaptureCommands::understand() {
  auto wrong = [](std::string text) { return Error{EINVAL, std::move(text)}; };
  const bool standard = options_.file.empty() || options_.file == "-";
  if (!duration_.empty()) {
    auto ns = parts::parse_time_ns(duration_, "s");
    if (!ns) return wrong("--duration: " + ns.error().text);
    options_.duration_ns = *ns;
  }
  if (!rotate_.empty()) {
    auto rotation = parse_rotation(rotate_);
    if (!rotation) return wrong("--rotate: " + rotation.error().text);
    options_.rotation = *rotation;
    options_.rotation.keep = keep_;
    if (standard) return wrong("--rotate needs -w FILE: standard output is one file");
  }
  if (!is_switch_name(options_.port))
    if (auto spec = monitor_of(options_.port); !spec) return spec.error();
  for (const std::string& word : filter_) options_.filter += (options_.filter.empty() ? "" : " ") + word;
  if (standard && isatty(STDOUT_FILENO))
    return wrong("a capture is nothing for a terminal: give -w FILE, or a pipe such as | tcpdump -r -");
  if (json_ && standard) return wrong("--json needs -w FILE: standard output has the capture");
  return {};
}

int CaptureCommands::capture() {
  if (auto understood = understand(); !understood) return mistake(understood.error().text);
  const bool live = !quiet_ && isatty(STDERR_FILENO);
  bool said = false;
  auto open_file = [&](const std::string& name) {
    auto file = open_output(name);
    if (file && !quiet_ && !said)
      print_err("unetmap: capturing on {}{}\n", options_.port, live ? "; Ctrl-C ends it" : "");
    said = true;
    return file;
  };
  auto progress = [&](const Watched& so_far) {
    if (live) print_err("\r{}", summary(so_far));
  };
  auto watched = is_switch_name(options_.port) ? watch_switch(options_, open_file, progress)
                                               : watch_port(options_, open_file, progress);
  if (!watched) return fail(watched.error().text);
  if (!quiet_) print_err("{}{}\n", live ? "\r" : "unetmap: ", summary(*watched));
  if (json_) {
    parts::print_json("unetmap", {{"packets", watched->captured},
                                  {"received", watched->received},
                                  {"lost", watched->lost},
                                  {"files", watched->files}});
  }
  return kOk;
}

// Names and values in braces, as Wireshark reads them. Names of ports have no braces but for pipes', which are left
// out.
int CaptureCommands::extcap() {
  if (interfaces_) {
    print_out("extcap {{version={}}}{{help=https://www.wireshark.org/docs/man-pages/extcap.html}}\n", UNETMAP_VERSION);
    auto link = DaemonLink::connect(wire::default_socket_path());
    if (!link || !*link) return kOk;
    auto answer = (**link).query({{"what", "ports"}});
    if (!answer) return fail(answer.error().text);
    for (const auto& port : (*answer)["ports"]) {
      const std::string name = port.value("name", ""), kind = port.value("kind", "");
      if (kind == "monitor" || kind == "pipe" || name.find_first_of("{}") != std::string::npos) continue;
      print_out("interface {{value={}{}}}{{display=netmap port {} ({})}}\n", kExtcapPrefix, name, name, kind);
    }
    return kOk;
  }
  if (!interface_.starts_with(kExtcapPrefix))
    return mistake(fmt::format("'{}' is no interface of --extcap-interfaces", interface_));
  if (dlts_) {
    print_out("dlt {{number={}}}{{name=EN10MB}}{{display=Ethernet}}\n", kEthernetDlt);
    return kOk;
  }
  if (config_) {
    print_out(
        "arg {{number=0}}{{call=--snaplen}}{{display=Bytes kept of a "
        "packet}}{{type=unsigned}}{{range=14,65535}}{{default=65535}}\n");
    return kOk;
  }
  options_.port = interface_.substr(kExtcapPrefix.size());
  if (!start_) {
    // Wireshark asks so whether it may use a filter.
    auto compiled = parts::PacketFilter::compile(options_.filter);
    if (!compiled) print_out("{}\n", compiled.error().text);
    return kOk;
  }
  if (fifo_.empty()) return mistake("--capture needs --fifo FILE");
  options_.file = fifo_;
  auto watched = watch_port(options_, open_output, [](const Watched&) {});
  return watched ? kOk : fail(watched.error().text);
}

}  // namespace unetmap::cli
