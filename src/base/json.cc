// SPDX-License-Identifier: BSD-2-Clause
#include "base/json.hh"

#include <algorithm>

namespace unetmap {

std::string json_text(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

Json parse_json(std::string_view text) { return Json::parse(text.begin(), text.end(), nullptr, false); }

bool walk_json(std::string_view text, nlohmann::json_sax<Json>& to) {
  return Json::sax_parse(text.begin(), text.end(), &to);
}

void append_json(std::string& to, std::string_view text) {
  const bool plain = std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c < 0x7f && c != '"' && c != '\\'; });
  if (!plain) {
    to += json_text(Json(text));
    return;
  }
  to += '"';
  to += text;
  to += '"';
}

std::string text_of(const Json& json, const char* member) {
  auto found = json.find(member);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace unetmap
