// SPDX-License-Identifier: BSD-2-Clause
#include "base/output.hh"

#include <stdio_ext.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace unetmap {
namespace {

const char* who = "unetmap";

void check_output() {
  // A closed standard output is a wish to see nothing, unless there was something to see.
  const bool failed_before = ferror(stdout) != 0, waiting = __fpending(stdout) > 0;
  errno = 0;
  const bool fails_now = fclose(stdout) != 0 && (waiting || errno != EBADF);
  if (!failed_before && !fails_now) return;
  const char* cause = fails_now && errno ? strerror(errno) : "it failed earlier";
  fprintf(stderr, "%s: standard output: could not be written in full: %s; is the disk full?\n", who, cause);
  _exit(EXIT_FAILURE);
}

}  // namespace

void check_output_at_exit(const char* program) {
  who = program;
  atexit(check_output);
}

bool output_works() { return fflush(stdout) == 0 && ferror(stdout) == 0; }

}  // namespace unetmap
