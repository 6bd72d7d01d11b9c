// SPDX-License-Identifier: BSD-2-Clause
// What people and tools ask about a running daemon: JSON in, JSON out (docs/wire.md).
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "daemon/registry.hh"

namespace unetmap::daemon {

using Json = nlohmann::ordered_json;

class Query {
 public:
  explicit Query(Registry& registry) : registry_(registry) {}

  Result<std::string> answer(const std::string& question) const;
  Result<void> set(const std::string& wanted) const;

 private:
  Json ports() const;
  Result<Json> stats(const Json& question) const;
  Result<Json> fdb(const Json& question) const;
  Json daemon() const;
  static void add_fence(const Switch::Record& record, Json& to);

  Registry& registry_;
};

}  // namespace unetmap::daemon
