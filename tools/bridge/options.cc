// SPDX-License-Identifier: BSD-2-Clause
#include "options.hh"

#include <getopt.h>

#include <array>
#include <charconv>
#include <string_view>
#include <vector>

#include "base/fold.hh"

namespace bridge {
namespace {

constexpr int kJsonFlag = 256;
constexpr int kHelpFlag = 257;
constexpr int kVersionFlag = 258;
constexpr uint32_t kMaxWait_s = 3600;
constexpr uint32_t kMaxBatch = 1u << 20;

struct Flag {
  const char* left;
  const char* help;
};

constexpr std::array kHelp{
    Flag{"-i PORT", "a port to bridge; give it twice, or once for an interface and its host rings"},
    Flag{"-b PACKETS", "at most that many packets a ring and round (default 1024)"},
    Flag{"-w SECONDS", "wait for links first (default 2 where an interface takes part, else 0)"},
    Flag{"-L", "send what a single port receives back through the same port"},
    Flag{"-c", "copy packets even where buffers could be swapped"},
    Flag{"-v", "print rates each second; twice, also what poll reports"},
    Flag{"--json", "print the summary as JSON"},
    Flag{"-h, --help", "this text"},
    Flag{"--version", "the version"},
};

std::optional<uint32_t> parse_count(std::string_view text, uint32_t min, uint32_t max) {
  uint32_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end || value < min || value > max) return std::nullopt;
  return value;
}

/// The library wants to be told that a bare name is an interface.
std::string port_name(const std::string& word) {
  return word.starts_with("netmap:") || word.starts_with("vale") ? word : "netmap:" + word;
}

bool set_batch(const char* word, Options& out, std::string& why) {
  const auto batch = parse_count(word, 1, kMaxBatch);
  if (!batch) {
    why = std::string("batch '") + word + "' is not a number of packets from 1 to " + std::to_string(kMaxBatch);
    return false;
  }
  out.batch_packets = *batch;
  return true;
}

bool set_ports(const std::vector<std::string>& names, Options& out, std::string& why) {
  if (names.empty()) {
    why = "no port given: name one or two with -i";
    return false;
  }
  out.port_a = port_name(names[0]);
  const std::string second = names.size() > 1 ? port_name(names[1]) : out.port_a;
  if (out.loopback) {
    if (second != out.port_a) why = "-L sends packets back to where they came from: give one port";
    return why.empty();
  }
  out.port_b = second;
  if (second != out.port_a) return true;
  if (!is_interface(second)) {
    why = "'" + second + "' has no host rings to bridge with: give a second port with -i, or -L";
    return false;
  }
  out.port_b += "^";
  return true;
}

}  // namespace

bool is_interface(const std::string& port) {
  return port.starts_with("netmap:") && port.find_first_of("{}") == std::string::npos;
}

Parsed parse_options(int argc, char** argv, Options& out, std::string& why) {
  const option long_flags[] = {{"json", no_argument, nullptr, kJsonFlag},
                               {"help", no_argument, nullptr, kHelpFlag},
                               {"version", no_argument, nullptr, kVersionFlag},
                               {nullptr, 0, nullptr, 0}};
  std::vector<std::string> names;
  opterr = 0;
  optind = 1;
  for (int letter; (letter = getopt_long(argc, argv, ":hb:ci:vw:L", long_flags, nullptr)) != -1;) {
    switch (letter) {
      case 'h':
      case kHelpFlag:
        return Parsed::kHelp;
      case kVersionFlag:
        return Parsed::kVersion;
      case kJsonFlag:
        out.json = true;
        break;
      case 'b':
        if (!set_batch(optarg, out, why)) return Parsed::kUsageError;
        break;
      case 'c':
        out.zero_copy = false;
        break;
      case 'i':
        names.emplace_back(optarg);
        break;
      case 'v':
        ++out.verbose;
        break;
      case 'w':
        out.wait_link_s = parse_count(optarg, 0, kMaxWait_s);
        if (!out.wait_link_s) {
          why = std::string("wait '") + optarg + "' is not a number of seconds up to " + std::to_string(kMaxWait_s);
          return Parsed::kUsageError;
        }
        break;
      case 'L':
        out.loopback = true;
        break;
      case ':':
        why = std::string("option -") + static_cast<char>(optopt) + " needs an argument";
        return Parsed::kUsageError;
      default:
        why = std::string("unknown option '") + argv[optind - 1] + "'";
        return Parsed::kUsageError;
    }
  }
  // Older scripts write `bridge PORT [PORT [BATCH]]`; options win over them.
  int word = optind;
  while (word < argc && names.size() < 2) names.emplace_back(argv[word++]);
  if (word < argc && !set_batch(argv[word++], out, why)) return Parsed::kUsageError;
  if (word < argc || names.size() > 2) {
    why = "more than two ports: bridge joins two";
    return Parsed::kUsageError;
  }
  for (const std::string& name : names) {
    if (name.empty()) {
      why = "a port needs a name, not an empty string";
      return Parsed::kUsageError;
    }
  }
  return set_ports(names, out, why) ? Parsed::kRun : Parsed::kUsageError;
}

std::string help_text(const std::string& program) {
  std::string out = "usage: " + program + " -i PORT [-i PORT] [-b PACKETS] [-w SECONDS] [-cvL] [--json]\n\n";
  for (const Flag& flag : kHelp) {
    std::string left = std::string("  ") + flag.left;
    left.resize(18, ' ');
    out += left + flag.help + "\n";
  }
  return unetmap::fold(out);
}

}  // namespace bridge
