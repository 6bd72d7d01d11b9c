// SPDX-License-Identifier: BSD-2-Clause
// vale-ctl: inspect VALE switches, attach and detach ports, create and remove persistent ports.
#include <libnetmap.h>
#include <net/if.h>
#include <unetmap/unetmap.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/output.hh"
#include "options.hh"
#include "parts/json_report.hh"
#include "requests.hh"

namespace valectl {
namespace {

using unetmap::Json;

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

const char* verb(Action action) {
  switch (action) {
    case Action::kList:
      return "list";
    case Action::kInfo:
      return "obtain info for";
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
      return "enable polling on";
    case Action::kPollingOff:
      return "disable polling on";
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
  if (options.action == Action::kList && options.name.find(':') == std::string::npos && error == ENOENT)
    advice = "there is no such switch, or it has no ports; 'vale-ctl -l' lists all ports";
  // In the words of netmap's program; the advice is ours.
  std::string text = std::string("failed to ") + verb(options.action) + " " + object + ": " + strerror(error);
  if (advice) text += std::string(": ") + advice;
  return unetmap::parts::fail(program, text);
}

void print_json(const Json& value) { unetmap::parts::print_json("vale-ctl", value); }

int run_info(Control& control, const Options& options, int& error) {
  nmreq_port_info_get info;
  error = control.port_info(options.name, info);
  if (error) return kExitFailed;
  if (!options.json) {
    // The lines of netmap's program, one of which has no colon.
    printf("memsize:    %llu\n", static_cast<unsigned long long>(info.nr_memsize));
    printf("tx_slots:   %u\nrx_slots:   %u\n", info.nr_tx_slots, info.nr_rx_slots);
    printf("tx_rings:   %u\nrx_rings    %u\n", info.nr_tx_rings, info.nr_rx_rings);
    printf("mem_id:     %u\n", info.nr_mem_id);
    if (options.verbose) printf("host_tx_rings: %u\nhost_rx_rings: %u\n", info.nr_host_tx_rings, info.nr_host_rx_rings);
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
  return ports.empty() ? ENOENT : 0;
}

int run_list(Control& control, const Options& options, int& error) {
  std::vector<ListedPort> ports;
  error = collect(control, options.name, ports);
  if (error) return kExitFailed;
  if (options.json) {
    Json list = Json::array();
    for (const ListedPort& port : ports) {
      list.push_back({{"bridge", port.bridge}, {"port", port.port}, {"name", port.name}});
    }
    print_json({{"ports", list}});
    return 0;
  }
  for (const ListedPort& port : ports) {
    if (options.name.find(':') != std::string::npos) {
      printf("bridge_idx: %u\nport_idx:   %u\n", port.bridge, port.port);
    } else {
      printf("%s bridge_idx %u port_idx %u\n", port.name.c_str(), port.bridge, port.port);
    }
  }
  return 0;
}

void print_made(const nmreq_vale_newif& made) {
  printf("tx_slots:   %u\nrx_slots:   %u\n", made.nr_tx_slots, made.nr_rx_slots);
  printf("tx_rings:   %u\nrx_ring:    %u\n", made.nr_tx_rings, made.nr_rx_rings);
  printf("mem_id:     %u\n", made.nr_mem_id);
}

int run_create(Control& control, const Options& options) {
  nmreq_vale_newif made;
  if (int error = control.create(options.name, options.rings, options.mem_id, made)) return error;
  if (options.verbose) print_made(made);
  if (if_nametoindex(options.name.c_str()) == 0)
    fprintf(stderr,
            "vale-ctl: %s is a port for programs alone: a network interface takes CAP_NET_ADMIN and /dev/net/tun; "
            "remove it "
            "and make it again with those\n",
            options.name.c_str());
  return 0;
}

int run(Control& control, const Options& options, int& error) {
  uint32_t index = 0;
  switch (options.action) {
    case Action::kList:
      return run_list(control, options, error);
    case Action::kInfo:
      return run_info(control, options, error);
    case Action::kAttach:
    case Action::kAttachHost:
      error = control.attach(options.name, options.action == Action::kAttachHost, options.rings, options.mem_id, index);
      if (!error && options.verbose) printf("port_index: %u\n", index);
      break;
    case Action::kDetach:
      error = control.detach(options.name, index);
      if (!error && options.verbose) printf("port_index: %u\n", index);
      break;
    case Action::kCreate:
      error = run_create(control, options);
      break;
    case Action::kRemove:
      error = control.remove(options.name);
      break;
    case Action::kPollingOn:
    case Action::kPollingOff: {
      const bool on = options.action == Action::kPollingOn;
      error = control.polling(options.name, on, options.polling);
      break;
    }
  }
  return error ? kExitFailed : 0;
}

int vale_ctl(int argc, char** argv) {
  const char* slash = strrchr(argv[0], '/');
  const char* program = slash ? slash + 1 : argv[0];
  unetmap::check_output_at_exit(program);
  Options options;
  std::string why;
  switch (parse_options(argc, argv, options, why)) {
    case Parsed::kHelp:
      fputs(help_text(program).c_str(), stdout);
      return 0;
    case Parsed::kVersion:
      unetmap::print_out("{} of unetmap {}\n", program, UNETMAP_VERSION);
      return 0;
    case Parsed::kUsageError:
      unetmap::parts::fail(program, why + "; see " + program + " --help");
      return unetmap::parts::ended("vale-ctl", kExitUsage, unetmap::parts::json_wanted(argc, argv));
    case Parsed::kRun:
      break;
  }
  Control control;
  if (int error = control.open()) {
    const char* said = unetmap_last_error();
    const std::string cause = said && *said ? said : "check that unetmapd can start (unetmapd --foreground)";
    unetmap::parts::fail(program, std::string("cannot open /dev/netmap: ") + strerror(error) + ": " + cause);
    return unetmap::parts::ended("vale-ctl", kExitFailed, options.json);
  }
  if (!options.mem_port.empty()) {
    // Names as in the @ of a port's name: vale0:1, netmap:eth0.
    const char* name = options.mem_port.c_str();
    nmctx_get()->verbose = 0;
    const int32_t id = nmreq_get_mem_id(&name, nmctx_get());
    if (id <= 0) {
      fprintf(stderr, "%s: invalid format in '-m %s' (missing 'netmap:'?): give a number, or a port that is there\n",
              program, options.mem_port.c_str());
      return kExitFailed;
    }
    options.mem_id = static_cast<uint16_t>(id);
  }
  int error = 0;
  const int status = run(control, options, error);
  return unetmap::parts::ended("vale-ctl", error ? fail(program, options, error) : status, options.json);
}

}  // namespace
}  // namespace valectl

int main(int argc, char** argv) { return valectl::vale_ctl(argc, argv); }
