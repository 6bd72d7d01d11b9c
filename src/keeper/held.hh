// SPDX-License-Identifier: BSD-2-Clause
// What a keeper holds for its client: its end undoes the set-up that made it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.hh"
#include "wire/keeper.hh"

namespace unetmap::keeper {

class Held {
 public:
  virtual ~Held() = default;
  // For the client, in the order of wire/keeper.hh.
  virtual std::vector<int> descriptors() const = 0;
  // Undoing, or events, need the right to administer interfaces.
  virtual bool needs_admin() const = 0;
  // Readable when what is held may be going away by itself: ask going() then. -1: it never does.
  [[nodiscard]] virtual int news() const { return -1; }
  // Why it is, as a sentence's end; the client hears of that, and then this object ends. Empty: it is not.
  virtual std::string going() { return ""; }
};

// The reply, and what is to be held from then on.
struct SetUp {
  wire::KeeperReply reply;
  std::unique_ptr<Held> held;
};

// Each has undone what it did when it fails.
Result<SetUp> bind(const wire::BindRequest& request, int memfd);
// `table`: of the switch, -1 for none.
Result<SetUp> attach(const wire::AttachRequest& request, int table);
Result<SetUp> tap(const wire::TapRequest& request);
// `memory`: of a device that is given back, -1 for none.
Result<SetUp> restore(const wire::RestoreRequest& request, int memory);

}  // namespace unetmap::keeper
