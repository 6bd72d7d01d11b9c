// SPDX-License-Identifier: BSD-2-Clause
// Questions to a daemon that runs already. Unlike opening the device, looking at things here never starts one.
#pragma once

#include <optional>
#include <string>

#include "base/fd.hh"
#include "base/json.hh"
#include "base/result.hh"
#include "wire/messages.hh"

namespace unetmap::cli {

class DaemonLink {
 public:
  // To the daemon at `path`; no value when none runs there. Errors: it runs, but cannot be talked to.
  static Result<std::optional<DaemonLink>> connect(const std::string& path);

  // {"what": ...} to the daemon's answer; ETIMEDOUT if that does not come in so many milliseconds (-1: without limit).
  Result<Json> query(const Json& question, int timeout_ms = -1);
  // To {"what": "live"}: the answer's text, which is long.
  Result<std::string> live();
  // {"port": NAME, ...}: changes a port.
  Result<void> set(const Json& wanted);
  // {"port": NAME, "kind": KIND, ...}: has a worker serve a port; {"port": NAME}: no longer.
  Result<void> plug(const Json& wanted);
  Result<void> unplug(const Json& wanted);

 private:
  explicit DaemonLink(UniqueFd socket) : socket_(std::move(socket)) {}
  // The text that came with the answer.
  Result<std::string> ask(wire::Op op, const std::string& body, int timeout_ms = -1);
  Result<void> tell(wire::Op op, const Json& wanted);

  UniqueFd socket_;
};

}  // namespace unetmap::cli
