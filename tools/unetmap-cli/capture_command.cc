// SPDX-License-Identifier: BSD-2-Clause
#include "capture_command.hh"

#include <fcntl.h>
#include <fmt/core.h>
#include <signal.h>
#include <unistd.h>

#include "daemon_link.hh"
#include "parts/packet_filter.hh"
#include "parts/quantities.hh"
#include "parts/stop.hh"
#include "wire/channel.hh"

namespace unetmap::cli {
namespace {

constexpr int kOk = 0, kFailed = 1, kUsage = 2;
constexpr std::string_view kPrefix = "unetmap-";  // of interfaces as Wireshark names them
constexpr unsigned kEthernetDlt = 1;

int fail(const std::string& text, int status = kFailed) {
  fmt::print(stderr, "unetmap: {}\n", text);
  return status;
}

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

CaptureCommands::CaptureCommands(CLI::App& app) {
  add_capture(app);
  add_extcap(app);
}

void CaptureCommands::add_capture(CLI::App& app) {
  capture_ = app.add_subcommand("capture", "write what passes a port as pcapng, for tcpdump and Wireshark");
  capture_->add_option("port", options_.port, "such as vale0:1, vale0:1{2, eth0")->required();
  capture_->add_option("-w,--write", file_, "file; without it, or with -, standard output");
  capture_->add_option("-c,--count", options_.count, "end after so many packets");
  capture_->add_option("-s,--snaplen", options_.snapshot_bytes, "bytes of each packet that are kept")
      ->check(CLI::Range(14, 65535));
  capture_->add_option("-d,--duration", duration_, "end after that time, such as 10s");
  capture_->add_flag("-q,--quiet", quiet_, "no counts on standard error");
  capture_->add_option("filter", filter_, "what to capture, such as: udp port 53 (pcap-filter(7))");
}

void CaptureCommands::add_extcap(CLI::App& app) {
  extcap_ = app.add_subcommand("extcap", "captures for Wireshark, by its extcap protocol");
  extcap_->group("");  // not for people
  extcap_->add_flag("--extcap-interfaces", interfaces_);
  extcap_->add_flag("--extcap-dlts", dlts_);
  extcap_->add_flag("--extcap-config", config_);
  extcap_->add_flag("--capture", start_);
  extcap_->add_option("--extcap-version", version_)->expected(0, 1);
  extcap_->add_option("--extcap-interface", interface_);
  extcap_->add_option("--extcap-capture-filter", options_.filter);
  extcap_->add_option("--fifo", fifo_);
  extcap_->add_option("--snaplen", options_.snapshot_bytes);
  extcap_->allow_extras();  // of later versions of the protocol
}

int CaptureCommands::run() {
  signal(SIGPIPE, SIG_IGN);
  parts::stop_on_signals();
  return *capture_ ? capture() : extcap();
}

int CaptureCommands::capture() {
  if (!duration_.empty()) {
    auto ns = parts::parse_time_ns(duration_, "s");
    if (!ns) return fail("--duration: " + ns.error().text, kUsage);
    options_.duration_ns = *ns;
  }
  if (auto spec = monitor_of(options_.port); !spec) return fail(spec.error().text, kUsage);
  for (const std::string& word : filter_) options_.filter += (options_.filter.empty() ? "" : " ") + word;
  if ((file_.empty() || file_ == "-") && isatty(STDOUT_FILENO)) {
    return fail("a capture is nothing for a terminal: give -w FILE, or a pipe such as | tcpdump -r -", kUsage);
  }
  const bool live = !quiet_ && isatty(STDERR_FILENO);
  auto open_file = [&] {
    auto file = open_output(file_);
    if (file && !quiet_)
      fmt::print(stderr, "unetmap: capturing on {}{}\n", options_.port, live ? "; Ctrl-C ends it" : "");
    return file;
  };
  auto watched = watch_port(options_, open_file, [&](const Watched& so_far) {
    if (live) fmt::print(stderr, "\r{}", summary(so_far));
  });
  if (!watched) return fail(watched.error().text);
  if (!quiet_) fmt::print(stderr, "{}{}\n", live ? "\r" : "unetmap: ", summary(*watched));
  return kOk;
}

// Names and values in braces, as Wireshark reads them. Names of ports have no braces but for pipes', which are left
// out.
int CaptureCommands::extcap() {
  if (interfaces_) {
    fmt::print("extcap {{version={}}}{{help=https://www.wireshark.org/docs/man-pages/extcap.html}}\n", UNETMAP_VERSION);
    auto link = DaemonLink::connect(wire::default_socket_path());
    if (!link || !*link) return kOk;
    auto answer = (**link).query({{"what", "ports"}});
    if (!answer) return fail(answer.error().text);
    for (const auto& port : (*answer)["ports"]) {
      const std::string name = port.value("name", ""), kind = port.value("kind", "");
      if (kind == "monitor" || kind == "pipe" || name.find_first_of("{}") != std::string::npos) continue;
      fmt::print("interface {{value={}{}}}{{display=netmap port {} ({})}}\n", kPrefix, name, name, kind);
    }
    return kOk;
  }
  if (!interface_.starts_with(kPrefix))
    return fail(fmt::format("'{}' is no interface of --extcap-interfaces", interface_), kUsage);
  if (dlts_) {
    fmt::print("dlt {{number={}}}{{name=EN10MB}}{{display=Ethernet}}\n", kEthernetDlt);
    return kOk;
  }
  if (config_) {
    fmt::print(
        "arg {{number=0}}{{call=--snaplen}}{{display=Bytes kept of a "
        "packet}}{{type=unsigned}}{{range=14,65535}}{{default=65535}}\n");
    return kOk;
  }
  options_.port = interface_.substr(kPrefix.size());
  if (!start_) {
    // Wireshark asks so whether it may use a filter.
    auto compiled = parts::PacketFilter::compile(options_.filter);
    if (!compiled) fmt::print("{}\n", compiled.error().text);
    return kOk;
  }
  if (fifo_.empty()) return fail("--capture needs --fifo FILE", kUsage);
  auto watched = watch_port(options_, [&] { return open_output(fifo_); }, [](const Watched&) {});
  return watched ? kOk : fail(watched.error().text);
}

}  // namespace unetmap::cli
