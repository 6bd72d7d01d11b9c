// SPDX-License-Identifier: BSD-2-Clause
// Asking the daemon, and showing what it says.
#pragma once

#include <fcntl.h>

#include <functional>
#include <optional>
#include <string>

#include "base/fd.hh"
#include "daemon_link.hh"
#include "parts/json_report.hh"

namespace unetmap::cli {

inline constexpr int kOk = 0, kFailed = 1, kUsage = 2;

inline int fail(const std::string& text) { return parts::fail("unetmap", text); }
// A mistake in the command line that only its meaning shows.
inline int mistake(const std::string& text) {
  fail(text);
  return kUsage;
}

// What to show of an answer, or of there being no daemon.
struct View {
  Json question;
  bool json = false;
  Json nothing;            // the answer of a daemon that has nothing
  bool with_plug = false;  // what is plugged into the port of the question, too
};

std::string no_daemon();

// The daemon's answer; no value, having said so, when none runs: nothing exists then, which is no failure.
Result<std::optional<Json>> answer_to(const View& view);

// The answer as a table, or as JSON; `change` may look at it and change it before.
int show(const View& view, const std::function<std::string(const Json&)>& table,
         const std::function<Json(Json)>& change = {});

// A daemon that runs until `hold` is let go of, started if need be; an error that says why there is none.
Result<DaemonLink> running_daemon(UniqueFd& hold);

}  // namespace unetmap::cli
