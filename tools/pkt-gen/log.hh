// SPDX-License-Identifier: BSD-2-Clause
// Diagnostics, always on standard error and one line each; live lines, in the prefix form of netmap's tools.
#pragma once

#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdio>
#include <string>

namespace unetmap::pktgen {

inline void say(const std::string& text) { fprintf(stderr, "pkt-gen: %s\n", text.c_str()); }

// "SSS.UUUUUU function [line] text": seconds modulo 1000, as scripts that cut these columns expect.
inline void live(FILE* to, const char* function, int line, const std::string& text) {
  timeval t;
  gettimeofday(&t, nullptr);
  fprintf(to, "%03d.%06d %s [%d] %s\n", int(t.tv_sec % 1000), int(t.tv_usec), function, line, text.c_str());
}

// Where live lines go: to standard error, where netmap's pkt-gen has them; and to standard output too, for who reads
// them there, where that is neither a terminal nor the same file.
class LiveLines {
 public:
  explicit LiveLines(bool output_is_for_results) {
    struct stat out {
    }, err{};
    bool same = fstat(STDOUT_FILENO, &out) == 0 && fstat(STDERR_FILENO, &err) == 0 && out.st_dev == err.st_dev &&
                out.st_ino == err.st_ino;
    both_ = !output_is_for_results && !same && !isatty(STDOUT_FILENO);
  }
  void say(const char* function, int line, const std::string& text) const {
    live(stderr, function, line, text);
    if (both_) live(stdout, function, line, text);
  }

 private:
  bool both_;
};

}  // namespace unetmap::pktgen
