// SPDX-License-Identifier: BSD-2-Clause
#include "interface.hh"

#include <unetmap/unetmap.h>

#include <optional>
#include <string_view>

#include "parts/system.hh"

namespace unetmap::pktgen {

std::string interface_of(const std::string& device) {
  std::string_view name = device;
  if (name.starts_with("netmap:")) name.remove_prefix(7);
  return std::string(name.substr(0, name.find_first_of("^*-@/{}")));
}

namespace {

uint64_t number(const parts::EtherAddress& address) {
  uint64_t out = 0;
  for (const uint8_t byte : address) out = out << 8 | byte;
  return out;
}

std::optional<uint64_t> interface_address(const std::string& name) {
  if (name.find(':') != std::string::npos) return std::nullopt;
  const auto found = parts::ether_address(name);
  return found ? std::optional(number(*found)) : std::nullopt;
}

// "vale0:1", "vale0:1{2": with its pipe, without what only says how it is opened.
std::string port_of(const std::string& device) {
  std::string_view name = device;
  if (name.starts_with("netmap:")) name.remove_prefix(7);
  return std::string(name.substr(0, name.find_first_of("^*@/")));
}

}  // namespace

MacRange own_mac(const Options& options) {
  if (options.backend == Backend::null) return {};
  const std::string name = interface_of(options.device);
  const auto found = interface_address(name);
  if (!found && options.backend != Backend::netmap) return {};
  uint64_t mac = found.value_or(0);
  if (!found) {
    parts::EtherAddress own;
    unetmap_port_address(port_of(options.device).c_str(), own.data());
    mac = number(own);
  }
  // We are what is plugged into a tap, not the host's end of it, whose address the host keeps for itself.
  if (options.backend == Backend::tap) mac = (mac ^ 1) | uint64_t{0x02} << 40;
  return {mac, mac};
}

bool link_is_up(const Options& options) { return parts::link_is_up(interface_of(options.device)); }

}  // namespace unetmap::pktgen
