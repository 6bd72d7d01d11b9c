// SPDX-License-Identifier: BSD-2-Clause
#include "access_lists.hh"

#include <fmt/core.h>

#include "parts/packet_filter.hh"

namespace unetmap::cli {
namespace {

Result<Json> compiled(const char* list, const std::string& rule) {
  const size_t space = std::min(rule.find(' '), rule.size());
  const std::string action = rule.substr(0, space);
  if (action != "allow" && action != "deny")
    return Error{EINVAL, fmt::format("{}: '{}': a rule begins with allow or deny", list, rule)};
  const size_t begin = rule.find_first_not_of(' ', space);
  auto filter = parts::PacketFilter::compile(begin == std::string::npos ? "" : rule.substr(begin));
  if (!filter) return Error{EINVAL, fmt::format("{}: '{}': {}", list, rule, filter.error().text)};
  return Json{{"rule", begin == std::string::npos ? action : rule}, {"program", filter->words()}};
}

}  // namespace

Result<void> compile_lists(Json& settings) {
  for (const char* list : {"acl_in", "acl_out"}) {
    auto found = settings.find(list);
    if (found == settings.end() || !found->is_array()) continue;
    for (Json& each : *found) {
      if (!each.is_string()) continue;
      auto made = compiled(list, each.get<std::string>());
      if (!made) return made.error();
      each = std::move(*made);
    }
  }
  return {};
}

}  // namespace unetmap::cli
