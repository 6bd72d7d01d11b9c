// SPDX-License-Identifier: BSD-2-Clause
// The command line of l2send.
#pragma once

#include "parts/option_table.hh"
#include "send.hh"

namespace unetmap::l2 {

struct CommandLine {
  SendOptions send;
  std::string source = "10.0.0.1", destination = "10.1.0.1";
  std::string source_mac, destination_mac = "ff:ff:ff:ff:ff:ff";
  bool json = false;
};

// Rows that store into `line`, which must stay where it is.
parts::OptionTable option_table(CommandLine& line);

// What the words of the command line together mean. `own_mac`: the source address where none is given.
Result<void> complete(CommandLine& line, uint64_t own_mac);

}  // namespace unetmap::l2
