// SPDX-License-Identifier: BSD-2-Clause
#include "toml_document.hh"

namespace {
// What the parser asserts of a file is not true of each file ("[[[" is one): that is a fault of the file's, and no
// reason to abort.
struct NotToml {};
}  // namespace
#define TOML_ASSERT(expr) ((expr) ? static_cast<void>(0) : throw NotToml())
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
// Where the parser promises not to throw, such a fault ends the program, as an assertion does.
#pragma GCC diagnostic push
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wterminate"
#endif
#include <toml++/toml.h>
#pragma GCC diagnostic pop
#ifdef NDEBUG
#error "toml++ takes its assertions for true then"
#endif

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

#include "base/json.hh"

namespace unetmap::cli {
namespace {

using Json = TomlDocument::Json;
using Path = TomlDocument::Path;

constexpr std::streamsize kMaxFile = 4 << 20;  // bytes

class Converter {
 public:
  explicit Converter(std::map<std::string, uint32_t>& lines) : lines_(lines) {}

  Json convert(const toml::node& node, const Path& at) {
    lines_[at.to_string()] = node.source().begin.line;
    if (const toml::table* table = node.as_table()) {
      // The library sorts a table by its keys; people want the order of the file, as far as lines tell it.
      std::vector<std::pair<std::string, const toml::node*>> members;
      for (auto&& [key, value] : *table) {
        members.emplace_back(std::string(key.str()), &value);
        lines_[(at / std::string(key.str())).to_string()] = key.source().begin.line;
      }
      std::stable_sort(members.begin(), members.end(),
                       [](auto& a, auto& b) { return a.second->source().begin.line < b.second->source().begin.line; });
      Json out = Json::object();
      for (auto& [key, value] : members) out[key] = convert(*value, at / key);
      return out;
    }
    if (const toml::array* array = node.as_array()) {
      Json out = Json::array();
      for (const toml::node& each : *array) out.push_back(convert(each, at / out.size()));
      return out;
    }
    if (auto text = node.as_string()) return text->get();
    if (auto flag = node.as_boolean()) return flag->get();
    if (auto number = node.as_integer()) return number->get() < 0 ? Json(number->get()) : Json(uint64_t(number->get()));
    // What is no number (nan, inf) stays the word that it is, which no number's place takes.
    if (auto number = node.as_floating_point(); number && std::isfinite(number->get())) return number->get();
    std::ostringstream text;
    node.visit([&](auto& value) { text << value; });
    return text.str();
  }

 private:
  std::map<std::string, uint32_t>& lines_;
};

// As TOML writes it: what is no bare key is quoted.
std::string key_text(const std::string& key) {
  const bool bare = !key.empty() && std::all_of(key.begin(), key.end(), [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
  return bare ? key : json_text(key);
}

std::string value_text(const Json& value) {
  std::string out;
  if (value.is_array()) {
    for (const Json& each : value) out += (out.empty() ? "" : ", ") + value_text(each);
    return "[" + out + "]";
  }
  if (value.is_object()) {
    for (auto& [key, each] : value.items())
      out += (out.empty() ? " " : ", ") + key_text(key) + " = " + value_text(each);
    return out.empty() ? "{}" : "{" + out + " }";
  }
  out = json_text(value);
  // JSON takes DEL as it is.
  for (size_t at; (at = out.find('\x7f')) != std::string::npos;) out.replace(at, 1, "\\u007f");
  return out;
}

void write_table(const Json& table, const std::string& name, int inline_at, std::string& out) {
  auto nests = [&](const Json& value) { return value.is_object() && inline_at > 0; };
  const bool plain = std::any_of(table.begin(), table.end(), [&](const Json& value) { return !nests(value); });
  if (!name.empty() && (plain || table.empty())) out += (out.empty() ? "[" : "\n[") + name + "]\n";
  for (auto& [key, value] : table.items())
    if (!nests(value) && !value.is_null()) out += key_text(key) + " = " + value_text(value) + "\n";
  for (auto& [key, value] : table.items())
    if (nests(value)) write_table(value, (name.empty() ? "" : name + ".") + key_text(key), inline_at - 1, out);
}

}  // namespace

Result<TomlDocument> TomlDocument::read(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) return Error::from_errno(errno, file);
  std::string text(kMaxFile + 1, 0);
  in.read(text.data(), kMaxFile + 1);
  if (in.bad() || (in.gcount() == 0 && errno == EISDIR)) return Error::from_errno(errno ? errno : EIO, file);
  if (in.gcount() > kMaxFile) return Error{EFBIG, file + ": is longer than 4 MiB; this is no configuration"};
  text.resize(size_t(in.gcount()));
  return parse(text, file);
}

Result<TomlDocument> TomlDocument::parse(const std::string& text, const std::string& name) {
  toml::parse_result parsed;
  try {
    parsed = toml::parse(text, name);
  } catch (const NotToml&) {
    return Error{EINVAL,
                 name + ": has what is no TOML, such as a [ too many; see unetmap.toml(5) for what a file is like"};
  }
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    std::string cause(error.description());
    return Error{EINVAL, name + ":" + std::to_string(error.source().begin.line) + ": " + cause +
                             "; see unetmap.toml(5) for what a file is like"};
  }
  TomlDocument out;
  out.name_ = name;
  out.root_ = Converter(out.lines_).convert(parsed.table(), Path());
  return out;
}

Error TomlDocument::error(const Path& path, const std::string& what) const {
  uint32_t line = 0;
  for (Path at = path; line == 0; at = at.parent_pointer()) {
    if (auto found = lines_.find(at.to_string()); found != lines_.end()) line = found->second;
    if (at.empty()) break;
  }
  std::string key;
  Path left = path;
  for (; !left.empty(); left.pop_back()) {
    if (!key.empty()) key.insert(0, 1, '.');
    key.insert(0, key_text(left.back()));
  }
  return {EINVAL, name_ + ":" + std::to_string(std::max(line, 1u)) + ": " + (key.empty() ? "" : key + ": ") + what};
}

std::string toml_text(const Json& root, int inline_at) {
  std::string out;
  write_table(root, "", inline_at, out);
  return out;
}

}  // namespace unetmap::cli
