// SPDX-License-Identifier: BSD-2-Clause
// Interface requests about names that only netmap knows.
#pragma once

#include <cstring>
#include <string_view>

namespace unetmap::shim {

// True for a VALE port as netmap programs pass it in an ifreq's name: "vale", the switch, a colon, the port.
// `name` need not end in 0.
inline bool names_vale_port(const char* name, size_t size) {
  std::string_view text(name, strnlen(name, size));
  if (text.substr(0, 4) != "vale") return false;
  size_t colon = text.find(':');
  return colon != text.npos && colon + 1 < text.size();
}

}  // namespace unetmap::shim
