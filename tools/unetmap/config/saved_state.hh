// SPDX-License-Identifier: BSD-2-Clause
// What `unetmap apply` and `unetmap show` are about, in one form: of a file, and of a daemon.
//
//   {"persistent": {NAME: {tx_rings, rx_rings, tx_slots, rx_slots}},
//    "port":       {NAME: {lossless, mac, ...: as Op::kSet has them; "attach": "interface" | "host",
//                          "plug": {kind, socket, mode, ...}, "kept": true}},
//    "switch":     {NAME: {"pins": {ADDRESS: PORT}}}}
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "toml_document.hh"

namespace unetmap::cli {

using Json = nlohmann::ordered_json;

// The form that the daemon gives settings of a port in, or what it has against them.
using Normalise = std::function<Result<Json>(const std::string& port, const Json& settings)>;

// Errors name the file, the line and the key.
Result<Json> wanted_state(const TomlDocument& document, const Normalise& normalise);
// From the daemon's answers to {"what":"ports"} and {"what":"plugs"}.
Json actual_state(const Json& ports, const Json& plugs);
// Of a port of a switch: that of an attached interface's host stack (vale0:eth0^).
inline bool is_host_side(const std::string& port) { return port.ends_with('^'); }
// As a file has it.
std::string state_text(const Json& state);

// One thing to be done. `from` or `to` is null where there is nothing.
struct Change {
  std::string table, name, key;  // "port", "vale0:1", "lossless"
  Json from, to;
};
// What makes `wanted` of `actual`. Things that `wanted` does not name stay as they are, unless `prune`.
std::vector<Change> changes_between(const Json& wanted, const Json& actual, bool prune);
// "+ port vale0:1: lossless = true".
std::string change_text(const Change& change);
// Things of `actual` that `wanted` does not name.
std::vector<std::string> unnamed(const Json& wanted, const Json& actual);

}  // namespace unetmap::cli
