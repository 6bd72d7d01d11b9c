// SPDX-License-Identifier: BSD-2-Clause
// Why a process could not be started, and what helps.
#pragma once

#include <cerrno>
#include <string>
#include <utility>

#include "base/result.hh"

namespace unetmap {

// `otherwise`: the remedy where no limit is in the way.
inline Error process_error(int code, std::string what, const char* otherwise = "") {
  Error error = Error::from_errno(code, std::move(what));
  if (code == EAGAIN)
    error.text += "; no more processes may run: raise that limit (ulimit -u, or pids.max of its control group)";
  else if (code == ENOMEM)
    error.text += "; raise the limit of memory (ulimit -v, -d)";
  else
    error.text += otherwise;
  return error;
}

}  // namespace unetmap
