// SPDX-License-Identifier: BSD-2-Clause
#include "options.hh"

#include <getopt.h>
#include <net/netmap.h>

#include <array>
#include <cctype>
#include <cstring>
#include <optional>

#include "base/fold.hh"

namespace valectl {
namespace {

struct Flag {
  char letter;
  const char* argument;
  std::optional<Action> action;
  const char* help;
};

constexpr std::array kFlags{
    Flag{'g', "PORT", Action::kInfo, "print the rings, slots and memory region of a port"},
    Flag{'a', "vale0:IF", Action::kAttach, "attach an interface or persistent port to a switch"},
    Flag{'h', "vale0:IF", Action::kAttachHost, "attach it together with its host rings"},
    Flag{'d', "vale0:IF", Action::kDetach, "detach it"},
    Flag{'n', "IF", Action::kCreate, "create a persistent port"},
    Flag{'r', "IF", Action::kRemove, "remove a persistent port"},
    Flag{'l', "[vale0[:PORT]]", Action::kList, "list all ports, those of one switch, or one port (the default)"},
    Flag{'p', "vale0:IF", Action::kPollingOn, "start polling an attached NIC"},
    Flag{'P', "vale0:IF", Action::kPollingOff, "stop polling it"},
    Flag{'C', "x[,y[,z[,w]]]", std::nullopt,
         "with -n, -a, -h: tx slots, rx slots, tx rings, rx rings; with -p, -P: mode 0|1, first CPU, CPUs"},
    Flag{'m', "ID|PORT", std::nullopt, "with -n, -a, -h: the memory region to use, or whose"},
};

constexpr char kVerbose = 'v';
constexpr int kJsonFlag = 256;
constexpr int kHelpFlag = 257;
constexpr int kVersionFlag = 258;

std::string short_options() {
  std::string out = ":";
  for (const Flag& flag : kFlags) out += std::string(1, flag.letter) + ":";
  return out + kVerbose;
}

const Flag* find_flag(int letter) {
  for (const Flag& flag : kFlags) {
    if (flag.letter == letter) return &flag;
  }
  return nullptr;
}

bool takes_rings(Action action) {
  return action == Action::kCreate || action == Action::kAttach || action == Action::kAttachHost;
}

bool takes_polling(Action action) { return action == Action::kPollingOn || action == Action::kPollingOff; }

/// What the letters themselves say, before they are checked against each other.
struct Words {
  const Flag* action = nullptr;
  std::optional<std::string> config;
  std::optional<std::string> mem_id;
};

bool finish(const Words& words, Options& out, std::string& why) {
  // Requests name ports without the prefix that the library takes off; people copy names from its users.
  if (out.action == Action::kInfo && out.name.starts_with("netmap:")) out.name.erase(0, strlen("netmap:"));
  if (out.name.size() >= NETMAP_REQ_IFNAMSIZ) {
    why = "name '" + out.name + "' is longer than " + std::to_string(NETMAP_REQ_IFNAMSIZ - 1) + " characters";
    return false;
  }
  if (out.json && out.action != Action::kList && out.action != Action::kInfo) {
    why = "--json goes with -l and -g: the other actions print nothing to read";
    return false;
  }
  if (words.config) {
    std::string cause;
    if (takes_rings(out.action)) {
      if (auto rings = parse_ring_spec(*words.config, cause)) out.rings = *rings;
    } else if (takes_polling(out.action)) {
      if (auto polling = parse_polling_spec(*words.config, cause)) out.polling = *polling;
    } else {
      cause = "it goes with -n, -a, -h, -p or -P";
    }
    if (!cause.empty()) {
      why = "-C " + *words.config + ": " + cause;
      return false;
    }
  }
  if (words.mem_id) {
    const bool by_number = isdigit(static_cast<unsigned char>(words.mem_id->front()));
    const auto id = parse_number(*words.mem_id, UINT16_MAX);
    if ((by_number && !id) || !takes_rings(out.action)) {
      why = "-m " + *words.mem_id + ": " +
            (by_number && !id ? "a memory region is a number from 1 to 65535, or the name of a port"
                              : "it goes with -n, -a or -h");
      return false;
    }
    if (by_number)
      out.mem_id = static_cast<uint16_t>(*id);
    else
      out.mem_port = *words.mem_id;
  }
  return true;
}

}  // namespace

Parsed parse_options(int argc, char** argv, Options& out, std::string& why) {
  const option long_flags[] = {{"json", no_argument, nullptr, kJsonFlag},
                               {"help", no_argument, nullptr, kHelpFlag},
                               {"version", no_argument, nullptr, kVersionFlag},
                               {nullptr, 0, nullptr, 0}};
  const std::string letters = short_options();
  Words words;
  opterr = 0;
  optind = 1;
  for (int letter; (letter = getopt_long(argc, argv, letters.c_str(), long_flags, nullptr)) != -1;) {
    if (letter == kHelpFlag) return Parsed::kHelp;
    if (letter == kVersionFlag) return Parsed::kVersion;
    if (letter == kJsonFlag || letter == kVerbose) {
      (letter == kVerbose ? out.verbose : out.json) = true;
      continue;
    }
    // -l may stand alone: at the end of the line, or before another option.
    const bool list_all = (letter == ':' && optopt == 'l') || (letter == 'l' && optarg[0] == '-');
    if (letter == 'l' && list_all) --optind;
    const Flag* flag = find_flag(list_all ? 'l' : letter);
    if (!flag) {
      why = letter == ':' ? std::string("option -") + static_cast<char>(optopt) + " needs an argument"
                          : std::string("unknown option '") + argv[optind - 1] + "'";
      return Parsed::kUsageError;
    }
    const std::string argument = list_all ? "" : optarg;
    if (argument.empty() && !list_all) {
      why = std::string("option -") + flag->letter + " needs a name, not an empty string";
      return Parsed::kUsageError;
    }
    if (flag->action) {
      if (words.action) {
        why = std::string("-") + words.action->letter + " and -" + flag->letter +
              " are two actions: run vale-ctl once for each";
        return Parsed::kUsageError;
      }
      words.action = flag;
      out.action = *flag->action;
      out.name = argument;
    } else {
      (flag->letter == 'C' ? words.config : words.mem_id) = argument;
    }
  }
  if (optind != argc) {
    why = std::string("unexpected argument '") + argv[optind] + "': every name follows an option letter";
    return Parsed::kUsageError;
  }
  return finish(words, out, why) ? Parsed::kRun : Parsed::kUsageError;
}

std::string help_text(const std::string& program) {
  std::string out = "usage: " + program + " [ACTION] [-C SPEC] [-m ID] [-v] [--json]\n\n";
  for (const Flag& flag : kFlags) {
    std::string left = std::string("  -") + flag.letter + " " + flag.argument;
    left.resize(std::max<size_t>(left.size() + 1, 22), ' ');
    out += left + flag.help + "\n";
  }
  out += "  -v                  with -n, -a, -h, -d: print what came of it\n";
  out += "  --json              with -l and -g: machine-readable output\n";
  out += "  --help              this text (-h attaches with host rings, as in netmap)\n";
  out += "  --version           the version\n";
  return unetmap::fold(out);
}

}  // namespace valectl
