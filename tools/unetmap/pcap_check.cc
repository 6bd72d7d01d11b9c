// SPDX-License-Identifier: BSD-2-Clause
#include "pcap_check.hh"

#include <fcntl.h>
#include <fmt/core.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/fd.hh"

extern char** environ;

namespace unetmap::cli {
namespace {

constexpr const char* kPrefixes[] = {"--interface=", "-i"};

bool names_port(const std::string& word) {
  return word.starts_with("netmap:") || (word.starts_with("vale") && word.find(':') != std::string::npos);
}

// What an argument has to say of the interface; `takes_next`: the next one is its name.
std::string port_in(const std::string& word, bool& takes_next) {
  takes_next = word == "-i" || word == "--interface";
  for (const char* prefix : kPrefixes)
    if (word.starts_with(prefix) && names_port(word.substr(strlen(prefix)))) return word.substr(strlen(prefix));
  return {};
}

std::string quoted(const std::string& word) {
  if (!word.empty() &&
      word.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:=,+-@%") ==
          std::string::npos)
    return word;
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? "'\\''" : std::string(1, c);
  return out + "'";
}

// The libpcap that the loader finds for a program: what ldd prints. Empty if it uses none.
std::string libpcap_of(const std::string& file) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return {};
  UniqueFd from(ends[0]), to(ends[1]);
  std::vector<char*> environment;
  for (char** e = environ; *e; e++) environment.push_back(*e);
  char trace[] = "LD_TRACE_LOADED_OBJECTS=1";
  environment.push_back(trace);
  environment.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, to.get(), 1);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  char* argv[] = {const_cast<char*>(file.c_str()), nullptr};
  pid_t child = -1;
  const int failed = posix_spawn(&child, file.c_str(), &actions, nullptr, argv, environment.data());
  posix_spawn_file_actions_destroy(&actions);
  if (failed) return {};
  to.reset();
  std::string said;
  char part[4096];
  for (ssize_t n; (n = read(from.get(), part, sizeof part)) > 0;) said.append(part, size_t(n));
  waitpid(child, nullptr, 0);
  const size_t at = said.find("libpcap.so"), arrow = said.find("=> ", at == std::string::npos ? 0 : at);
  if (at == std::string::npos || arrow == std::string::npos) return {};
  const size_t path = arrow + 3, end = said.find_first_of(" \n", path);
  return said.substr(path, end == std::string::npos ? end : end - path);
}

bool contains(const std::string& file, const char* text) {
  std::ifstream in(file, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(in), {}};
  return bytes.find(text) != std::string::npos;
}

// One with netmap knows the prefix of its names.
bool knows_netmap(const std::string& library) { return contains(library, "netmap:"); }

// pkt-gen and the like, which need libpcap for other things: they open the device, or have a library that does.
bool opens_ports_itself(const std::string& file) {
  return contains(file, "/dev/netmap") || contains(file, "libnetmap.so") || contains(file, "libunetmap.so");
}

}  // namespace

std::string captured_port(const std::vector<std::string>& argv) {
  for (size_t i = 1; i < argv.size(); i++) {
    bool takes_next = false;
    if (std::string port = port_in(argv[i], takes_next); !port.empty()) return port;
    if (takes_next && i + 1 < argv.size() && names_port(argv[i + 1])) return argv[i + 1];
  }
  return {};
}

std::string instead_of(const std::vector<std::string>& argv, const std::string& port) {
  std::string out = fmt::format("unetmap capture {} | {} -r -", quoted(port), argv[0]);
  for (size_t i = 1; i < argv.size(); i++) {
    bool takes_next = false;
    if (!port_in(argv[i], takes_next).empty()) continue;
    if (takes_next && i + 1 < argv.size() && argv[i + 1] == port) {
      i++;
      continue;
    }
    out += " " + quoted(argv[i]);
  }
  return out;
}

std::string lacks_netmap(const std::string& file, const std::vector<std::string>& argv) {
  const std::string port = captured_port(argv);
  if (port.empty()) return {};
  const std::string library = libpcap_of(file);
  if (library.empty() || knows_netmap(library) || opens_ports_itself(file)) return {};
  const std::string name = std::filesystem::path(file).filename();
  const std::string way = name == "tcpdump"
                              ? instead_of(argv, port)
                              : fmt::format("unetmap capture {} -w FILE, and give it the file", quoted(port));
  return fmt::format("{}: its libpcap ({}) was built without netmap, so it cannot open {}; run instead: {}", name,
                     library, port, way);
}

}  // namespace unetmap::cli
