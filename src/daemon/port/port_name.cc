// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/port/port_name.hh"

#include <algorithm>

namespace unetmap::daemon {
namespace {

constexpr std::string_view kSwitchPrefix = "vale";

bool is_id_char(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
// Interfaces may have more in their names.
bool is_port_char(char c) { return is_id_char(c) || c == '-' || c == '.' || c == '@'; }

template <class F>
bool all(std::string_view text, F&& f) {
  return !text.empty() && std::all_of(text.begin(), text.end(), f);
}

Error bad(std::string_view name, const char* why) { return {EINVAL, std::string(name) + ": " + why}; }

}  // namespace

Result<PortName> parse_port_name(std::string_view name) {
  PortName out;
  std::string_view base = name;
  if (size_t at = name.find_first_of("{}"); at != std::string_view::npos) {
    out.pipe = name[at];
    out.pipe_id = name.substr(at + 1);
    base = name.substr(0, at);
    if (!all(out.pipe_id, is_id_char))
      return bad(name, "a pipe's name ends in { or } and letters, digits or _; choose such a name");
  }
  if (name.empty()) return Error{ENXIO, "a request without a name: there is no such port; give a name such as vale0:1"};
  if (base.empty()) return bad(name, "names no port; give a name such as vale0:1");
  out.base = base;
  out.port_name = base;
  size_t colon = base.find(':');
  if (base.substr(0, kSwitchPrefix.size()) == kSwitchPrefix && colon != std::string_view::npos) {
    out.switch_name = base.substr(0, colon);
    out.port_name = base.substr(colon + 1);
    if (!all(out.switch_name, is_id_char))
      return bad(name, "a switch's name is vale and letters, digits or _; choose such a name");
  }
  // The host stack's side of an attached interface has ^ behind its name.
  std::string_view letters = out.port_name;
  if (out.on_switch() && letters.size() > 1 && letters.back() == '^') letters.remove_suffix(1);
  if (!all(letters, is_port_char))
    return bad(name, "a port's name has letters, digits, _, - and . only; choose such a name");
  return out;
}

Error no_such_port(const std::string& base) {
  return {ENXIO, base + ": there is no network interface and no persistent port of this name; 'ip link' lists interfaces, vale-ctl -n " +
                     base + " makes a persistent port, and ports of switches are called vale0:1 or the like"};
}

}  // namespace unetmap::daemon
