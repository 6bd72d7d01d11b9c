// SPDX-License-Identifier: BSD-2-Clause
// Port names as requests carry them: valeSSS:PPP, IF, and with {ID or }ID behind them the ends of a pipe.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hh"

namespace unetmap::daemon {

struct PortName {
  std::string base;         // without the pipe's part
  std::string switch_name;  // "valeSSS"; empty when the port is not on a switch
  std::string port_name;    // PPP, or the whole base
  std::string interface;    // as its own network namespace calls it, where that is not ours; then `base` has its number too
  char pipe = 0;            // '{' master, '}' slave, 0 no pipe
  std::string pipe_id;

  bool on_switch() const { return !switch_name.empty(); }
  std::string full() const { return pipe ? base + pipe + pipe_id : base; }
  std::string peer() const { return base + (pipe == '{' ? '}' : '{') + pipe_id; }
};

// EINVAL with the reason for names that can name nothing.
Result<PortName> parse_port_name(std::string_view name);

// What is said of a name outside of switches that nothing has.
Error no_such_port(const std::string& base);

}  // namespace unetmap::daemon
