// SPDX-License-Identifier: BSD-2-Clause
// Fixes, and the record by which they are taken back. Each change is in the record before it is made, so that who is
// interrupted can undo what was done. Undoing leaves alone what somebody else has changed since.
#pragma once

#include <string>
#include <vector>

#include "base/result.hh"
#include "doctor_checks.hh"

namespace unetmap::cli {

class FixRecord {
 public:
  // `file` need not be there; its folder is made. `root` as for look_at_machine(): files elsewhere are never written.
  FixRecord(std::string file, std::string root = "") : file_(std::move(file)), root_(std::move(root)) {}

  struct Outcome {
    std::vector<std::string> done;    // what was changed, a sentence each
    std::vector<std::string> failed;  // what could not be, and why
  };
  // Errors: there is no record, so nothing more was changed.
  Result<Outcome> apply(const std::vector<Fix>& fixes);
  // What was put back, last change first, and what was not and why; the record is gone then.
  Result<std::vector<std::string>> undo();

  // Of root in /run, which ends with the changes themselves at the next start of the machine; else in the user's
  // folder.
  static std::string default_file();

 private:
  std::string file_, root_;
};

}  // namespace unetmap::cli
