// SPDX-License-Identifier: BSD-2-Clause
// The table of kinds, and what they have in common.
#include "worker/kinds.hh"
#include "worker/kind.hh"

namespace unetmap::worker {
namespace {

constexpr KindEntry kKinds[] = {
    {"stream", start_stream, true, false},
    {"dgram", start_dgram, true, false},
    {"vhost-user", start_vhost_user, true, true},
    {"e1000", start_e1000, true, true},
    {"passthrough", start_passthrough, true, true},
    {"tap", start_tap, true, false},
};

}  // namespace

const KindEntry* find_kind(const std::string& name) {
  for (const KindEntry& each : kKinds)
    if (name == each.name) return &each;
  return nullptr;
}

Result<void> Kind::set(const Json& parameters) {
  if (parameters.empty()) return {};
  return Error{EINVAL,
               std::string(parameters.begin().key()) + ": cannot be changed while it is plugged in; unplug it first"};
}

Result<std::string> text_parameter(const Json& parameters, const char* key, const char* otherwise) {
  auto found = parameters.find(key);
  if (found == parameters.end() && otherwise) return std::string(otherwise);
  if (found == parameters.end() || !found->is_string() || found->get_ref<const std::string&>().empty())
    return Error{EINVAL, std::string("plug: \"") + key + "\" is missing, or no text"};
  return found->get<std::string>();
}

Result<Endpoint> endpoint_parameters(const Json& parameters) {
  auto path = text_parameter(parameters, "socket");
  if (!path) return path.error();
  auto mode = text_parameter(parameters, "mode", "server");
  if (!mode) return mode.error();
  if (*mode != "server" && *mode != "client")
    return Error{EINVAL, "plug: mode " + *mode + ": is neither server nor client"};
  return Endpoint{std::move(*path), *mode == "server"};
}

Result<uint64_t> number_parameter(const Json& parameters, const char* key, uint64_t otherwise, uint64_t most) {
  auto found = parameters.find(key);
  if (found == parameters.end()) return otherwise;
  if (!found->is_number_unsigned() || found->get<uint64_t>() > most)
    return Error{EINVAL, std::string("plug: \"") + key + "\" must be a number from 0 to " + std::to_string(most)};
  return found->get<uint64_t>();
}

}  // namespace unetmap::worker
