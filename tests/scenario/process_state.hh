// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <sys/types.h>

#include <fstream>
#include <iterator>
#include <string>

namespace process_state {

// The letter that the kernel gives a process or a thread in proc(5): 'S' asleep, 'T' stopped, ...; 0: it is gone.
inline char state_of(pid_t task) {
  std::ifstream stat("/proc/" + std::to_string(task) + "/stat");
  const std::string text(std::istreambuf_iterator<char>(stat), {});
  // Its name, in parentheses, may have any characters.
  const size_t name_end = text.rfind(") ");
  return name_end == std::string::npos || name_end + 2 >= text.size() ? '\0' : text[name_end + 2];
}

}  // namespace process_state
