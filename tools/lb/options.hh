// SPDX-License-Identifier: BSD-2-Clause
// The command line of lb.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "parts/option_table.hh"

namespace unetmap::lb {

// A row of pipes NAME{FIRST ... of which each flow has one.
struct GroupSpec {
  std::string name;  // empty: the input port's
  uint32_t first = 0;
  uint32_t pipes = 2;
};

struct Options {
  std::string input;
  std::vector<GroupSpec> groups;
  uint32_t extra_buffers = 0;
  uint32_t batch = 2048;
  uint32_t wait_link_s = 2;
  uint32_t syslog_interval_s = 0, stdout_interval_s = 0;  // 0: never
  bool busy_wait = false, json = false;
};

parts::OptionTable option_table(Options& options);
// Names and numbers of the groups, once all options are known.
Result<void> complete(Options& options);

// The port without what chooses rings or memory: its pipes are called after that.
std::string base_name(const std::string& port);
// How lb opens a pipe, and how its reader does.
std::string pipe_name(const GroupSpec& group, uint32_t number, char end);

}  // namespace unetmap::lb
