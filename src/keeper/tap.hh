// SPDX-License-Identifier: BSD-2-Clause
// Tap network interfaces. One goes away with the last copy of its descriptor.
#pragma once

#include <optional>
#include <string>

#include "base/fd.hh"
#include "base/result.hh"
#include "keeper/interface.hh"

namespace unetmap::keeper {

struct TapSettings {
  std::string name;  // may have one %d, for a number of the kernel's choice
  std::optional<wire::MacAddress> mac;
  bool vnet_hdr = false;  // 12 bytes before each frame; frames of 64 KB and partial checksums
  // A hidden one is nobody's interface: up at once, no addresses, no ARP, nothing that the stack sends by itself.
  bool hidden = false;
  uint32_t mtu = 1500;  // hidden only
  std::string purpose;  // hidden only: shown by `ip link`
};

struct Tap {
  UniqueFd fd;
  Interface interface;
};

Result<Tap> make_tap(const TapSettings& settings);

}  // namespace unetmap::keeper
