// SPDX-License-Identifier: BSD-2-Clause
#include "base/json.hh"

#include <algorithm>
#include <vector>

namespace unetmap {

std::string json_text(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

namespace {

// Makes a value of what it is told.
class Builder : public nlohmann::json_sax<Json> {
 public:
  explicit Builder(Json& root) : root_(root) {}

  bool null() override { return put(nullptr) != nullptr; }
  bool boolean(bool value) override { return put(value) != nullptr; }
  bool number_integer(number_integer_t value) override { return put(value) != nullptr; }
  bool number_unsigned(number_unsigned_t value) override { return put(value) != nullptr; }
  bool number_float(number_float_t value, const string_t&) override { return put(value) != nullptr; }
  bool string(string_t& value) override { return put(std::move(value)) != nullptr; }
  bool binary(binary_t&) override { return false; }  // is none of JSON's
  bool start_object(size_t) override { return open(Json::value_t::object); }
  bool key(string_t& name) override {
    member_ = &(*open_.back())[name];
    return true;
  }
  bool end_object() override { return close(); }
  bool start_array(size_t) override { return open(Json::value_t::array); }
  bool end_array() override { return close(); }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception&) override { return false; }

 private:
  // In the array that is open, as the member whose name came last, or as the whole.
  Json* put(Json&& value) {
    Json* place = &root_;
    if (!open_.empty() && open_.back()->is_array()) {
      open_.back()->get_ref<Json::array_t&>().push_back(nullptr);
      place = &open_.back()->get_ref<Json::array_t&>().back();
    } else if (!open_.empty()) {
      place = member_;
    }
    *place = std::move(value);
    return place;
  }
  bool open(Json::value_t type) {
    open_.push_back(put(Json(type)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  Json& root_;
  std::vector<Json*> open_;  // none moves while it is open: only the innermost grows
  Json* member_ = nullptr;
};

}  // namespace

Json parse_json(std::string_view text) {
  Json out;
  Builder builder(out);
  if (!walk_json(text, builder)) return Json(Json::value_t::discarded);
  return out;
}

// Json::sax_parse() and Json::parse() would have every binary format and three more parsers compiled.
bool walk_json(std::string_view text, nlohmann::json_sax<Json>& to) {
  auto in = nlohmann::detail::input_adapter(text.data(), text.data() + text.size());
  return nlohmann::detail::parser<Json, decltype(in)>(std::move(in)).sax_parse(&to);
}

void append_json(std::string& to, std::string_view text) {
  const bool plain =
      std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c < 0x7f && c != '"' && c != '\\'; });
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
