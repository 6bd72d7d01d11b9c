// SPDX-License-Identifier: BSD-2-Clause
// Workers as the Registry sees them: it makes ports for things without a program, and has them served.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/fd.hh"
#include "wire/worker.hh"

namespace unetmap::daemon {

class Service {
 public:
  // Has a worker serve the port, which exists. `fds` are its, and its successors'. `shown`: the kind as people see it.
  virtual Result<void> serve(wire::Plug plug, std::string shown, std::vector<UniqueFd> fds) = 0;
  // EINPROGRESS while it is not known whether the worker can; what it failed with.
  virtual Result<void> served(const std::string& port) const = 0;
  // Changes what may change while it runs (worker/kind.hh, set), also for its successors.
  virtual void tell(const std::string& port, const Json& parameters) = 0;
  // Ends the worker; `ended` is called when it has ended, and never from within.
  virtual void end(const std::string& port, std::function<void()> ended) = 0;

 protected:
  ~Service() = default;
};

}  // namespace unetmap::daemon
