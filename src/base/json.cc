// SPDX-License-Identifier: BSD-2-Clause
#include "base/json.hh"

namespace unetmap {

std::string json_text(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

Json parse_json(std::string_view text) { return Json::parse(text.begin(), text.end(), nullptr, false); }

std::string text_of(const Json& json, const char* member) {
  auto found = json.find(member);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace unetmap
