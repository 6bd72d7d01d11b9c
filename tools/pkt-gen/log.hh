// SPDX-License-Identifier: BSD-2-Clause
// Diagnostics, always on standard error and one line each; live lines, in the prefix form of netmap's tools.
#pragma once

#include <sys/time.h>

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

}  // namespace unetmap::pktgen
