// SPDX-License-Identifier: BSD-2-Clause
// What people and tools ask about a running daemon: JSON in, JSON out (docs/wire.md).
#pragma once

#include <ctime>
#include <string>
#include <utility>

#include "base/json.hh"
#include "base/result.hh"
#include "daemon/attach/attachments.hh"
#include "daemon/attach/plug_ports.hh"
#include "daemon/interface/interfaces.hh"
#include "daemon/inventory/files.hh"
#include "daemon/inventory/ports.hh"
#include "daemon/setting/awaited.hh"
#include "daemon/setting/pins.hh"

namespace unetmap::daemon {

class Query {
 public:
  // What it looks at.
  struct Of {
    const Ports& ports;
    const PersistentPorts& persistent;
    const Files& files;
    const Attachments& attachments;
    const PlugPorts& plugs;
    const AwaitedSettings& awaited;
    const Pins& pins;
    Interfaces* interfaces;   // nullptr: there are none
    std::string socket_path;  // where the daemon listens
    time_t started;
  };
  explicit Query(Of of) : of_(std::move(of)) {}

  Result<std::string> answer(const std::string& question) const;

 private:
  Json ports(const Json& question) const;
  Json persistent() const;
  static bool inhabited(uint32_t keeper);
  Result<Json> stats(const Json& question) const;
  std::string live() const;  // live.cc
  Result<Json> fdb(const Json& question) const;
  Result<Json> port(const Json& question) const;
  Json daemon() const;
  void add_attachment(const Port& port, Json& to) const;
  static Result<Json> settings(const Json& question);
  static void add_fence(const Switch::Record& record, Json& to);

  const Of of_;
};

}  // namespace unetmap::daemon
