// SPDX-License-Identifier: BSD-2-Clause
// vale-ctl: inspect VALE switches, attach and detach ports, create and remove persistent ports.
#include <net/if.h>
#include <unetmap/unetmap.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "options.hh"
#include "requests.hh"

namespace valectl {
namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

const char* verb(Action action) {
  switch (action) {
    case Action::kList:
      return "list";
    case Action::kInfo:
      return "get information on";
    case Action::kAttach:
    case Action::kAttachHost:
      return "attach";
    case Action::kDetach:
      return "detach";
    case Action::kCreate:
      return "create";
    case Action::kRemove:
      return "remove";
    case Action::kPollingOn:
      return "start polling";
    case Action::kPollingOff:
      return "stop polling";
  }
  return "handle";
}

/// What to do about `error`, where the pair of action and errno tells.
const char* remedy(Action action, int error) {
  const bool attaching = action == Action::kAttach || action == Action::kAttachHost;
  switch (error) {
    case ENOENT:
    case ENXIO:
      if (attaching) return "create a persistent port first (vale-ctl -n IF), or check the interface name (ip link)";
      if (action == Action::kRemove)
        return "persistent ports are made with vale-ctl -n; 'vale-ctl -l' shows those attached";
      return "'vale-ctl -l' shows the ports there are";
    case EEXIST:
      return "choose another name, or remove the present one (vale-ctl -r IF)";
    case EBUSY:
      if (action == Action::kRemove)
        return "detach it first (vale-ctl -d SWITCH:IF) and stop the programs that have it open";
      if (attaching) return "it is attached or open already: detach it (vale-ctl -d SWITCH:IF) or stop its user";
      return "stop the program that uses it";
    case EINVAL:
      return "write ports as valeSSS:PPP with letters, digits and underscores, and check -C and -m";
    case ENOMEM:
      return "ask for fewer rings or slots with -C, or free memory";
    case EOPNOTSUPP:
      return "this kind of port does not do that";
    case ENOTCONN:
    case ECONNREFUSED:
      return "check that unetmapd can start (unetmapd --foreground) and that UNETMAP_SOCKET names the right socket";
    case EACCES:
    case EPERM:
      return "use the daemon of your own user, or run as the user that owns it";
    default:
      return nullptr;
  }
}

/// The daemon knows best why it refused; what it said is kept by the library.
int fail(const char* program, const Options& options, int error) {
  const std::string object = options.name.empty() ? "the ports" : options.name;
  const char* said = unetmap_last_error();
  const char* advice = said && *said ? said : remedy(options.action, error);
  // What the daemon said last is then that the walk over all ports is at its end.
  if (options.action == Action::kList && options.name.find(':') == std::string::npos && error == ENXIO)
    advice = "there is no such switch, or it has no ports; 'vale-ctl -l' lists all ports";
  fprintf(stderr, "%s: cannot %s %s: %s%s%s\n", program, verb(options.action), object.c_str(), strerror(error),
          advice ? ": " : "", advice ? advice : "");
  return kExitFailed;
}

void print_json(const nlohmann::json& value) { printf("%s\n", value.dump(2).c_str()); }

int run_info(Control& control, const Options& options, int& error) {
  nmreq_port_info_get info;
  error = control.port_info(options.name, info);
  if (error) return kExitFailed;
  if (!options.json) {
    printf("%s: %u queues.\n", options.name.c_str(), info.nr_rx_rings);
    printf("%s: tx %u rings x %u slots, rx %u rings x %u slots, host tx %u, host rx %u, memory %u (%llu bytes)\n",
           options.name.c_str(), info.nr_tx_rings, info.nr_tx_slots, info.nr_rx_rings, info.nr_rx_slots,
           info.nr_host_tx_rings, info.nr_host_rx_rings, info.nr_mem_id,
           static_cast<unsigned long long>(info.nr_memsize));
    return 0;
  }
  print_json({{"name", options.name},
              {"tx_rings", info.nr_tx_rings},
              {"rx_rings", info.nr_rx_rings},
              {"tx_slots", info.nr_tx_slots},
              {"rx_slots", info.nr_rx_slots},
              {"host_tx_rings", info.nr_host_tx_rings},
              {"host_rx_rings", info.nr_host_rx_rings},
              {"mem_id", info.nr_mem_id},
              {"mem_bytes", info.nr_memsize}});
  return 0;
}

/// Everything, the ports of one switch ("vale0"), or one port ("vale0:1").
int collect(Control& control, const std::string& name, std::vector<ListedPort>& ports) {
  if (name.find(':') != std::string::npos) {
    ListedPort port;
    if (int error = control.find_port(name, port)) return error;
    ports.push_back(port);
    return 0;
  }
  if (int error = control.list_ports(ports)) return error;
  if (name.empty()) return 0;
  const std::string prefix = name + ":";
  std::erase_if(ports, [&](const ListedPort& port) { return !port.name.starts_with(prefix); });
  return ports.empty() ? ENXIO : 0;
}

int run_list(Control& control, const Options& options, int& error) {
  std::vector<ListedPort> ports;
  error = collect(control, options.name, ports);
  if (error) return kExitFailed;
  if (options.json) {
    nlohmann::json list = nlohmann::json::array();
    for (const ListedPort& port : ports) {
      list.push_back({{"bridge", port.bridge}, {"port", port.port}, {"name", port.name}});
    }
    print_json(list);
    return 0;
  }
  for (const ListedPort& port : ports) {
    if (options.name.find(':') != std::string::npos) {
      printf("%s at bridge:%u port:%u\n", port.name.c_str(), port.bridge, port.port);
    } else {
      printf("bridge:%u port:%u %s\n", port.bridge, port.port, port.name.c_str());
    }
  }
  return 0;
}

int run(Control& control, const Options& options, int& error) {
  switch (options.action) {
    case Action::kList:
      return run_list(control, options, error);
    case Action::kInfo:
      return run_info(control, options, error);
    case Action::kAttach:
    case Action::kAttachHost:
      error = control.attach(options.name, options.action == Action::kAttachHost, options.rings, options.mem_id);
      break;
    case Action::kDetach:
      error = control.detach(options.name);
      break;
    case Action::kCreate:
      error = control.create(options.name, options.rings, options.mem_id);
      if (!error && if_nametoindex(options.name.c_str()) == 0)
        fprintf(stderr,
                "vale-ctl: %s is a port for programs alone: a network interface takes CAP_NET_ADMIN and /dev/net/tun; remove it "
                "and make it again with those\n",
                options.name.c_str());
      break;
    case Action::kRemove:
      error = control.remove(options.name);
      break;
    case Action::kPollingOn:
    case Action::kPollingOff: {
      const bool on = options.action == Action::kPollingOn;
      error = control.polling(options.name, on, options.polling);
      if (!error) printf("polling on %s %s\n", options.name.c_str(), on ? "started" : "stopped");
      break;
    }
  }
  return error ? kExitFailed : 0;
}

int vale_ctl(int argc, char** argv) {
  const char* slash = strrchr(argv[0], '/');
  const char* program = slash ? slash + 1 : argv[0];
  Options options;
  std::string why;
  switch (parse_options(argc, argv, options, why)) {
    case Parsed::kHelp:
      fputs(help_text(program).c_str(), stdout);
      return 0;
    case Parsed::kUsageError:
      fprintf(stderr, "%s: %s\n%s", program, why.c_str(), help_text(program).c_str());
      return kExitUsage;
    case Parsed::kRun:
      break;
  }
  Control control;
  if (int error = control.open()) {
    const char* said = unetmap_last_error();
    fprintf(stderr, "%s: cannot open /dev/netmap: %s: %s\n", program, strerror(error),
            said && *said ? said : "check that unetmapd can start (unetmapd --foreground)");
    return kExitFailed;
  }
  int error = 0;
  const int status = run(control, options, error);
  if (error) return fail(program, options, error);
  if (fflush(stdout) != 0) {
    fprintf(stderr, "%s: cannot write the result: %s\n", program, strerror(errno));
    return kExitFailed;
  }
  return status;
}

}  // namespace
}  // namespace valectl

int main(int argc, char** argv) { return valectl::vale_ctl(argc, argv); }
