// SPDX-License-Identifier: BSD-2-Clause
// l2open: opens a raw socket or a tap and runs a program that finds it as a descriptor.
#include <fmt/core.h>
#include <unistd.h>

#include <cstdlib>
#include <vector>

#include "base/output.hh"
#include "open.hh"
#include "parts/l2_descriptor.hh"
#include "parts/option_table.hh"

namespace {

using namespace unetmap;

constexpr int kFailed = 1, kCannotRun = 126, kNotFound = 127;

int fail(const std::string& text, int status = kFailed) {
  print_err("l2open: {}\n", text);
  return status;
}

// In place of this process, with the descriptor as the number that programs look for.
int run(UniqueFd descriptor, const std::string& interface, const std::vector<std::string>& words) {
  if (descriptor.get() == parts::kL2Descriptor) {
    descriptor.release();
  } else if (dup2(descriptor.get(), parts::kL2Descriptor) < 0) {
    return fail(Error::from_errno(errno, fmt::format("descriptor {}", parts::kL2Descriptor)).text);
  }
  descriptor.reset();
  setenv(parts::kL2DescriptorVariable, std::to_string(parts::kL2Descriptor).c_str(), 1);
  setenv(parts::kL2InterfaceVariable, interface.c_str(), 1);
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  return fail(fmt::format("cannot run {}: {}", words[0], strerror(errno)), errno == ENOENT ? kNotFound : kCannotRun);
}

}  // namespace

int main(int argc, char** argv) {
  check_output_at_exit("l2open");
  std::string raw, tap;
  bool wait = false;
  l2::RawOptions options;
  parts::OptionTable table(
      "l2open", "Runs PROGRAM with a raw socket (-r) or a tap (-t) as descriptor 3, whose number is also in L2_FD.",
      "PROGRAM [ARGUMENTS]",
      {{'r', "raw", "IFNAME", "a raw socket on the interface", parts::set_text(raw)},
       {'t', "tap", "IFNAME", "the tap of that name, made for the program's life where there is none",
        parts::set_text(tap)},
       {'p', "promiscuous", nullptr, "with -r: also frames to other stations", parts::set_flag(options.promiscuous)},
       {'o', "outgoing", nullptr, "with -r: also what this machine sends there", parts::set_flag(options.outgoing)},
       {'w', "wait", nullptr, "until a bridge forwards what comes from there (up to a minute)",
        parts::set_flag(wait)}});
  int status = 0;
  auto words = table.run(argc, argv, &status, true);
  if (!words) return status;
  if (raw.empty() == tap.empty()) return table.usage_error("give either -r IFNAME or -t IFNAME");
  if (!tap.empty() && (options.promiscuous || options.outgoing)) return table.usage_error("-p and -o go with -r");
  if (words->empty()) return table.usage_error("no program to run");
  auto descriptor = raw.empty() ? l2::open_tap(tap) : l2::open_raw(raw, options);
  if (!descriptor) return fail(descriptor.error().text);
  if (wait) l2::await_bridge(raw.empty() ? tap : raw);
  return run(std::move(*descriptor), raw.empty() ? tap : raw, *words);
}
