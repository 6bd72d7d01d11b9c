// SPDX-License-Identifier: BSD-2-Clause
#include "complete.hh"

#include <net/if.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <map>
#include <set>

#include "answers.hh"
#include "base/output.hh"
#include "setting.hh"
#include "wire/channel.hh"

namespace unetmap::cli {
namespace {

using Words = std::vector<std::string>;

// Options whose value is a port, by program.
const std::map<std::string, std::set<std::string>> kPortOptions = {
    {"pkt-gen", {"-i"}}, {"bridge", {"-i"}},   {"lb", {"-i"}},
    {"tlem", {"-i"}},    {"nmreplay", {"-i"}}, {"vale-ctl", {"-a", "-h", "-d", "-g", "-l", "-r", "-p", "-P"}},
};
// Options whose value is an interface.
const std::map<std::string, std::set<std::string>> kInterfaceOptions = {{"l2open", {"-r", "--raw", "-t", "--tap"}}};
// Commands of unetmap whose first word is a port.
const std::set<std::string> kPortCommands = {"ports", "stats", "set", "plug", "unplug", "wait"};
// Those whose first word is a port or a switch.
const std::set<std::string> kTapCommands = {"capture", "trace"};

std::string program_of(const std::string& word) {
  std::string name = word.substr(word.rfind('/') + 1);
  if (name.starts_with("netmap-")) name.erase(0, 7);
  return name == "valectl" ? "vale-ctl" : name;
}

bool has(const std::map<std::string, std::set<std::string>>& table, const std::string& program,
         const std::string& option) {
  auto found = table.find(program);
  return found != table.end() && found->second.contains(option);
}

// Also those that are on no switch, as "netmap:eth0".
Words ports_to_open(const CompletionSource& source) {
  Words out = source.ports();
  for (std::string& name : out)
    if (!name.starts_with("vale")) name.insert(0, "netmap:");
  for (const std::string& name : source.interfaces()) out.push_back("netmap:" + name);
  return out;
}

Words of_unetmap(const Words& words, size_t at, const CompletionSource& source) {
  if (at == 1) return source.commands;
  const std::string& command = words[1];
  if (command == "set" && at == 3) return property_names();
  if (command == "set" && at == 4 && words[3] == "nic_mode")
    return {"auto", "native-zerocopy", "native", "generic", "packet", "driver", "off"};
  if (command == "set" && at == 4) return takes_flag(words[3]) ? Words{"on", "off"} : Words{"off"};
  if (at != 2) return {};
  if (command == "help") return source.commands;
  if (command == "fdb") return source.switches();
  if (command == "doctor") return source.interfaces();
  if (kTapCommands.contains(command)) {
    Words out = source.switches(), ports = source.ports();
    out.insert(out.end(), ports.begin(), ports.end());
    return out;
  }
  Words ports = kPortCommands.contains(command) ? source.ports() : Words{};
  if (command == "set")  // also those that nobody has open
    for (const std::string& name : source.interfaces())
      if (std::find(ports.begin(), ports.end(), name) == ports.end()) ports.push_back(name);
  return ports;
}

Words unfiltered(const Words& words, size_t at, const CompletionSource& source) {
  const std::string program = program_of(words[0]);
  const std::string& before = words[at - 1];
  if (has(kPortOptions, program, before)) return ports_to_open(source);
  if (has(kInterfaceOptions, program, before)) return source.interfaces();
  if (words[at].starts_with("-")) {
    Words command{words[0]};
    if (program == "unetmap" && at > 1) command.push_back(words[1]);
    return options_in(source.help_of(command));
  }
  return program == "unetmap" ? of_unetmap(words, at, source) : Words{};
}

Words names_now(const char* what) {
  auto link = DaemonLink::connect(wire::default_socket_path());
  if (!link || !*link) return {};
  auto answer = (**link).query({{"what", "ports"}});
  if (!answer) return {};
  std::set<std::string> out;
  const bool switches = std::string(what) == "switches";
  for (const Json& port : answer->value("ports", Json::array())) {
    const std::string sw = port.value("switch", ""), kind = port.value("kind", "");
    if (switches && !sw.empty()) out.insert(sw);
    if (!switches && kind != "monitor" && kind != "null") out.insert(port.value("name", ""));
  }
  if (!switches)
    for (const char* list : {"persistent", "awaited"})
      for (const Json& port : answer->value(list, Json::array())) out.insert(port.value("name", ""));
  return {out.begin(), out.end()};
}

Words interfaces_now() {
  Words out;
  struct if_nameindex* all = if_nameindex();
  for (auto* each = all; each && each->if_index; each++) out.emplace_back(each->if_name);
  if (all) if_freenameindex(all);
  return out;
}

// Only of programs that are ours: their names are words of letters and dashes.
std::string help_now(const Words& command) {
  std::string line;
  for (const std::string& word : command) {
    if (word.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-/._") != std::string::npos) return {};
    line += word + " ";
  }
  std::string out;
  FILE* from = popen((line + "--help 2>/dev/null </dev/null").c_str(), "re");
  if (!from) return out;
  char part[4096];
  for (size_t n; (n = fread(part, 1, sizeof part, from)) > 0;) out.append(part, n);
  pclose(from);
  return out;
}

}  // namespace

std::vector<std::string> options_in(const std::string& help) {
  std::set<std::string> out;
  for (size_t at = 0; (at = help.find('-', at)) != std::string::npos;) {
    size_t end = at;
    while (end < help.size() && (help[end] == '-' || std::isalnum(static_cast<unsigned char>(help[end])))) end++;
    const std::string word = help.substr(at, end - at);
    // At the beginning of a line or behind another one; not in the middle of a sentence's "round-trip".
    size_t line = help.rfind('\n', at);
    line = line == std::string::npos ? 0 : line + 1;
    const std::string left = help.substr(line, at - line);
    const bool first = left.find_first_not_of(' ') == std::string::npos;
    const bool follows = left.ends_with(", ") || left.ends_with(",");
    const bool is_long = word.size() > 3 && word.starts_with("--") && std::isalpha(static_cast<unsigned char>(word[2]));
    const bool is_short = word.size() == 2 && std::isalnum(static_cast<unsigned char>(word[1]));
    if ((first || (follows && left.find('-') != std::string::npos)) && (is_long || is_short)) out.insert(word);
    at = std::max(end, at + 1);
  }
  return {out.begin(), out.end()};
}

std::vector<std::string> candidates(const std::vector<std::string>& words, size_t at, const CompletionSource& source) {
  if (words.empty() || at == 0 || at >= words.size()) return {};
  Words out = unfiltered(words, at, source);
  std::erase_if(out, [&](const std::string& word) { return !word.starts_with(words[at]); });
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

int complete(const std::vector<std::string>& words, size_t at, const std::vector<std::string>& commands) {
  const CompletionSource source{commands, [] { return names_now("ports"); }, [] { return names_now("switches"); },
                                interfaces_now, help_now};
  for (const std::string& word : candidates(words, at, source)) write_text(stdout, word + "\n");
  return kOk;
}

}  // namespace unetmap::cli
