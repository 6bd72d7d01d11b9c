// SPDX-License-Identifier: BSD-2-Clause
// Shell commands of a test.
#pragma once

#include <sys/wait.h>

#include <cstdio>
#include <string>

namespace commands {

inline std::string said;  // by the last command, on both outputs
inline int run(const std::string& command) {
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  said.clear();
  char part[4096];
  while (size_t n = fread(part, 1, sizeof part, pipe)) said.append(part, n);
  int status = pclose(pipe);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace commands
