// SPDX-License-Identifier: BSD-2-Clause
// unetmapd: serves netmap descriptors to the programs of one user.
#include <fcntl.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <set>

#include "base/command_line.hh"
#include "base/output.hh"
#include "base/process_error.hh"
#include "daemon/process/listen.hh"
#include "daemon/process/log.hh"
#include "daemon/process/privileges.hh"
#include "daemon/process/spare_memory.hh"
#include "daemon/server.hh"

namespace {

using unetmap::UniqueFd;
using namespace unetmap::daemon;

struct Settings {
  bool foreground = false;
  std::string socket;
  double idle_exit_s = -1;  // below 0: the default
  int ready_fd = -1;
  std::vector<std::string> nic_modes;
  uint32_t nic_buffers = 0;  // 0: as many as may be locked, up to the default
};

// SIGTERM and SIGINT as something to wait for. SIGPIPE would come of clients that do not wait for an answer, SIGXFSZ of
// memory that is larger than files may be (ulimit -f).
UniqueFd stop_signals() {
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  return UniqueFd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

// Tells who started us that we listen.
void announce(const Settings& settings) {
  if (settings.ready_fd < 0) return;
  (void)!write(settings.ready_fd, "", 1);
  close(settings.ready_fd);
}

// Away from the program that happened to start us, which waits for our word on descriptors that stay for now.
unetmap::Result<void> leave_starter() {
  pid_t child = fork();
  if (child > 0) _exit(0);
  if (child < 0) return unetmap::process_error(errno, "cannot leave who started it");
  setsid();
  if (chdir("/") < 0) return unetmap::Error::from_errno(errno, "/");
  return {};
}

// And from its terminal. What we have to say from now on is read by `unetmap log`.
void leave_terminal(const std::string& socket) {
  UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  for (int fd = 0; fd <= 2; fd++) dup2(null.get(), fd);
  log_to_file(socket + ".log");
}

// Each interface bound counts them once more: room for four.
uint32_t nic_buffers(uint32_t wanted) {
  if (wanted) return wanted;
  constexpr uint64_t kInterfaces = 4, kLeast = 1024;
  return uint32_t(
      std::clamp<uint64_t>(lockable_bytes() / kInterfaces / unetmap::kDefaultBufSize, kLeast, Regions::kNicBuffers));
}

// Until a signal, or until nobody has needed us for `idle_exit_ms` (0: for ever).
int serve(Server& server, Listener& listener, int signals, int64_t idle_exit_ms) {
  bool stopped = false;
  if (auto watched = server.watch(signals, [&] { stopped = true; }); !watched) {
    log(watched.error().text);
    return 1;
  }
  int64_t idle_since = now_ms();
  while (!stopped) {
    int64_t timeout = -1;
    if (idle_exit_ms > 0 && server.idle()) {
      timeout = idle_since + idle_exit_ms - now_ms();
      if (timeout <= 0) {
        listener.hide();
        // Clients that found the socket before it was hidden.
        while (true) {
          auto more = server.step(0);
          if (!more || !*more || stopped) break;
        }
        if (server.idle()) break;
        listener.show();
        continue;
      }
    }
    auto done = server.step(timeout < 0 ? -1 : int(timeout) + 1);
    if (!done) {
      log(done.error().text);
      return 1;
    }
    if (*done || !server.idle()) idle_since = now_ms();
  }
  listener.remove();
  close_log();
  sd_notify(0, "STOPPING=1");
  return 0;
}

int run(const Settings& settings) {
  umask(0077);
  put_memory_aside();
  if (auto raised = raise_limits(); !raised) {
    log(raised.error().text);
    return 1;
  }
  auto listener = Listener::from_systemd();
  bool from_systemd = listener && *listener;
  if (listener && !from_systemd)
    listener = Listener::open(settings.socket.empty() ? unetmap::wire::default_socket_path() : settings.socket);
  if (!listener) {
    if (listener.error().code == EADDRINUSE && settings.ready_fd >= 0) {
      // Who started us wants one to listen there, and one does.
      announce(settings);
      return 0;
    }
    log(listener.error().text);
    return 1;
  }
  UniqueFd signals = stop_signals();
  bool foreground = settings.foreground || from_systemd;
  if (auto left = foreground ? unetmap::Result<void>() : leave_starter(); !left) {
    log(left.error().text);
    return 1;
  }
  unetmap::wire::NicModes modes;
  for (const std::string& each : settings.nic_modes) (void)modes.add(each);
  const bool devices = modes.any(unetmap::wire::NicMode::kDriver);
  if (devices) load_device_drivers();
  if (auto dropped = drop_privileges(devices); !dropped) log(dropped.error().text);
  auto socket = listener->listen();
  auto server = socket ? Server::create(std::move(*socket)) : unetmap::Result<std::unique_ptr<Server>>(socket.error());
  if (!server) {
    log(server.error().text);
    return 1;
  }
  std::string path = listener->path().empty() ? unetmap::wire::default_socket_path() : listener->path();
  (*server)->registry().set_socket_path(path);
  (*server)->registry().use_interfaces((*server)->interfaces(), std::move(modes), nic_buffers(settings.nic_buffers),
                                        devices);
  (*server)->registry().regions().number_from(uint32_t(getpid()) * 40503u);
  announce(settings);
  if (!foreground) leave_terminal(path);
  // Workers are children of ours: none may keep what our starter waits for the end of.
  (*server)->plugs().restore(path);
  sd_notify(0, "READY=1");
  double idle_exit_s = settings.idle_exit_s >= 0 ? settings.idle_exit_s : foreground ? 0 : 5;
  return serve(**server, *listener, signals.get(), int64_t(idle_exit_s * 1000));
}

}  // namespace

int main(int argc, char** argv) {
  unetmap::check_output_at_exit("unetmapd");
  Settings settings;
  unetmap::CommandLine app{"unetmapd", "Serves netmap ports and VALE switches to the programs of one user."};
  app.set_version_flag("-V,--version", UNETMAP_VERSION);
  app.add_flag("-f,--foreground", settings.foreground, "Stay in the foreground, with messages on the standard error");
  app.add_option("-s,--socket", settings.socket, "Listen at PATH instead of the default place ($UNETMAP_SOCKET, "
                 "$XDG_RUNTIME_DIR/unetmap/unetmapd.sock or the like)").option_text("PATH");
  app.add_option("--idle-exit", settings.idle_exit_s, "End when nobody needs it for so long; 0 for never, which is the default "
                 "with --foreground, else 5").option_text("SECONDS").in_range(0.0, 1e9);
  app.add_option("--ready-fd", settings.ready_fd, "Write one NUL byte to descriptor N when listening").option_text("N");
  app.add_option("--nic-mode", settings.nic_modes, "How to bind network interfaces: auto takes the best that is to be had, each "
                 "other only that: native-zerocopy, native, generic (AF_XDP), packet (AF_PACKET), driver (the device itself). With "
                 "an interface before it (eth0=driver) that one; may be repeated")
      .option_text("[INTERFACE=]MODE").allow_extra_args(false).check([](const std::string& text) {
        return unetmap::wire::NicModes().add(text) ? std::string()
                                                   : text + " is none of auto, native-zerocopy, native, generic, packet, driver";
      });
  app.add_option("--nic-buffers", settings.nic_buffers, "Packet buffers of 2048 bytes that all interfaces share, and that stay in "
                 "memory while one is bound; 32768 by default, fewer where less memory may be locked")
      .option_text("N").in_range(1024u, 1u << 20);
  if (auto end = app.parse(argc, argv)) return end->status;
  return run(settings);
}
