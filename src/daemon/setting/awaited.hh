// SPDX-License-Identifier: BSD-2-Clause
// Settings (Op::kSet) of ports that need not be there: some wait for the next port of a name, some are kept for each.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "base/json.hh"
#include "base/result.hh"

namespace unetmap::daemon {

class AwaitedSettings {
 public:
  // For a name that has no port: made when it gets one. `keep`: each time that it gets one, or no longer so; without it
  // as it was.
  Result<void> await(const std::string& name, const Json& wanted, std::optional<bool> keep);
  // The same of a port that is there and has `settings`.
  Result<void> keep(const std::string& name, const Json& settings, std::optional<bool> keep);
  // What a port of this name that has just come gets, and why in words; empty if nothing waited.
  struct Taken {
    Json wanted;
    const char* why = "";
  };
  std::optional<Taken> take(const std::string& name);

  bool keeps(const std::string& name) const { return kept_.contains(name); }
  // What has to be known before a port of this name is made.
  bool wants_zero_copy(const std::string& name) const;
  // All that is not a port's: `there` tells whether there is one of a name.
  Json json(const std::function<bool(const std::string&)>& there) const;
  bool empty() const { return awaited_.empty() && kept_.empty(); }

 private:
  std::map<std::string, Json> awaited_;  // by the port's name; kept_ has no such
  std::map<std::string, Json> kept_;     // likewise, and for all its lives
};

}  // namespace unetmap::daemon
