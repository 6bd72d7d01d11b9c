// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/setting/names.hh"

#include <fmt/core.h>

#include "daemon/port/port_name.hh"

namespace unetmap::daemon {
namespace {

constexpr size_t kNameBytes = 64;  // NETMAP_REQ_IFNAMSIZ

Result<PortName> possible_name(const std::string& name) {
  if (name.size() >= kNameBytes)
    return Error{EINVAL, fmt::format("{}: is longer than a port's name can be, {} bytes", name, kNameBytes - 1)};
  return parse_port_name(name);
}

}  // namespace

Result<void> switch_port_name(const std::string& name) {
  auto read = possible_name(name);
  if (!read) return read.error();
  if (!read->on_switch() || read->pipe != 0 || name.find_first_of("^@") != std::string::npos)
    return Error{ENXIO, name + ": no such port; only ports of switches (vale0:1) take settings before they are there"};
  return {};
}

Result<PortSettings> parse_named_settings(const std::string& port, const Json& wanted, const PortSettings& now) {
  auto out = parse_settings(port, wanted, now);
  if (!out || out->mirror.empty()) return out;
  const std::string& to = out->mirror;
  const std::string sw = port.substr(0, port.find(':') + 1);
  if (sw.empty() || !to.starts_with(sw) || to == port)
    return Error{
        EINVAL, fmt::format("{}: mirror: {}: is no other port of the same switch; name one such as {}m", port, to, sw)};
  if (auto name = possible_name(to); !name)
    return Error{EINVAL, fmt::format("{}: mirror: {}", port, name.error().text)};
  return out;
}

}  // namespace unetmap::daemon
