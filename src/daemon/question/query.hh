// SPDX-License-Identifier: BSD-2-Clause
// What people and tools ask about a running daemon: JSON in, JSON out (docs/wire.md).
#pragma once

#include <string>

#include "base/json.hh"
#include "daemon/registry/registry.hh"
#include "daemon/port/shown_name.hh"

namespace unetmap::daemon {

class Query {
 public:
  explicit Query(Registry& registry) : registry_(registry) {}

  Result<std::string> answer(const std::string& question) const;
  Result<void> set(const std::string& wanted) const;

 private:
  Json ports(const Json& question) const;
  Json persistent() const;
  static bool inhabited(uint32_t keeper);
  Result<Json> stats(const Json& question) const;
  std::string live() const;  // live.cc
  Result<Json> fdb(const Json& question) const;
  Result<Json> port(const Json& question) const;
  std::string named_port(const Json& question) const;
  static ShownNames names(const Json& question);
  Json daemon() const;
  void add_attachment(const Port& port, Json& to) const;
  static Result<Json> settings(const Json& question);
  static void add_fence(const Switch::Record& record, Json& to);

  Registry& registry_;
};

}  // namespace unetmap::daemon
