// SPDX-License-Identifier: BSD-2-Clause
// bridge: forwards all packets between two netmap ports, without copying them where both share a memory region.
#include <libnetmap.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "base/output.hh"
#include "loop.hh"
#include "options.hh"
#include "parts/json_report.hh"

namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;
constexpr uint32_t kLinkWait_s = 2;

const char* program = "bridge";
int stop_fd = -1;

void on_signal(int) {
  const int kept = errno;
  const uint64_t one = 1;
  (void)!write(stop_fd, &one, sizeof one);
  errno = kept;
}

void on_library_error(nmctx*, const char* message) { unetmap::parts::fail(program, message); }

/// An eventfd rather than a flag: a signal between a check and poll is not lost.
bool watch_signals() {
  stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (stop_fd < 0) return false;
  struct sigaction action {};
  action.sa_handler = on_signal;
  return sigaction(SIGINT, &action, nullptr) == 0 && sigaction(SIGTERM, &action, nullptr) == 0;
}

/// False when a signal ended the wait.
bool wait_for_links(const bridge::Options& options) {
  const bool interface = bridge::is_interface(options.port_a) || bridge::is_interface(options.port_b);
  const uint32_t wait_s = options.wait_link_s.value_or(interface ? kLinkWait_s : 0);
  if (!wait_s) return true;
  fprintf(stderr, "Wait %u secs for link to come up...\n", wait_s);
  pollfd stop = {stop_fd, POLLIN, 0};
  return poll(&stop, 1, static_cast<int>(wait_s * 1000)) == 0;
}

int run(const bridge::Options& options) {
  bridge::Port a, b;
  if (!a.open(options.port_a)) return kExitFailed;
  if (!options.loopback && !b.open(options.port_b)) return kExitFailed;
  bridge::Loop loop(options, a, options.loopback ? nullptr : &b, stop_fd);
  fprintf(stderr, "zerocopy %s\n", loop.zero_copy() ? "supported" : options.zero_copy ? "not supported" : "disabled");
  if (!wait_for_links(options)) return 0;
  fprintf(stderr, "Ready to go, %s <-> %s.\n", a.name().c_str(), options.loopback ? "itself" : b.name().c_str());
  const bool stopped = loop.run();
  if (!stopped) unetmap::parts::fail(program, loop.failure());
  loop.print_summary();
  return stopped ? 0 : kExitFailed;
}

}  // namespace

int main(int argc, char** argv) {
  const char* slash = strrchr(argv[0], '/');
  program = slash ? slash + 1 : argv[0];
  unetmap::check_output_at_exit(program);
  bridge::Options options;
  std::string why;
  switch (bridge::parse_options(argc, argv, options, why)) {
    case bridge::Parsed::kHelp:
      fputs(bridge::help_text(program).c_str(), stdout);
      return 0;
    case bridge::Parsed::kVersion:
      unetmap::print_out("{} of unetmap {}\n", program, UNETMAP_VERSION);
      return 0;
    case bridge::Parsed::kUsageError:
      unetmap::parts::fail(program, why + "; see " + program + " --help");
      return unetmap::parts::ended(program, kExitUsage, unetmap::parts::json_wanted(argc, argv));
    case bridge::Parsed::kRun:
      break;
  }
  nmctx_get()->error = on_library_error;
  if (!watch_signals()) {
    fprintf(stderr, "%s: cannot watch signals: %s: raise the limit of open files (ulimit -n)\n", program,
            strerror(errno));
    return kExitFailed;
  }
  return unetmap::parts::carried_out(program, options.json, [&] { return run(options); });
}
