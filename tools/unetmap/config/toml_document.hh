// SPDX-License-Identifier: BSD-2-Clause
// A TOML file as JSON, with the line of each value: for errors that say where.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "base/result.hh"

namespace unetmap::cli {

class TomlDocument {
 public:
  using Json = nlohmann::ordered_json;
  using Path = Json::json_pointer;

  static Result<TomlDocument> read(const std::string& file);
  // `name` stands for the file in errors.
  static Result<TomlDocument> parse(const std::string& text, const std::string& name);

  const Json& root() const { return root_; }
  const std::string& name() const { return name_; }
  // "FILE:LINE: a.b: cause; remedy", of the value at `path` or the nearest that encloses it.
  Error error(const Path& path, const std::string& what) const;

 private:
  std::string name_;
  Json root_;
  std::map<std::string, uint32_t> lines_;  // by path
};

// {"a": {"b": 1}} as text that reads back the same; objects inside of lists and of `inline_at` levels stay on one line.
std::string toml_text(const nlohmann::ordered_json& root, int inline_at);

}  // namespace unetmap::cli
